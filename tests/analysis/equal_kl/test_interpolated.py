"""Where both sides have measured policies between their checkpoints, those are what is compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_experiment

from analysis.equal_kl.comparison import COMPARISONS
from analysis.equal_kl.interpolated import agreement
from analysis.records.contracts import BETWEEN, SCHEMA, read_table, write_table
from analysis.records.experiment import Experiment, Run
from analysis.tables.tables import Tables, tables
from training.stages.interpolate import mean_kl

GRID = (0.0, 0.3, 0.7, 1.5, 3.0, 5.0, 9.0)
DROP = -2.0
"""Raw gold by which every policy between checkpoints is planted below what the points show: one s.d."""


def plant(root: Path, run: Run, kls: tuple[float, ...], moved: float, lost: float | None = None) -> None:
    """Policies between checkpoints: the nearest point's samples with their KL scaled, 2 % off what was
    wanted, and their gold moved. At the KL `lost` none was found."""
    items = read_table(root / "items.parquet", "items")
    means = {p.step: mean_kl(p.samples(), items) for p in run.points}
    rows = []
    for number, kl in enumerate(kls, start=1):
        near = min(run.points[1:], key=lambda point: abs(means[point.step] - kl))
        row = {"point": number, "kl": kl, "step_a": near.step - 10, "step_b": near.step, "alpha": 0.5}
        rows.append(row | ({"alpha": None} if kl == lost else {}))
        if kl == lost:
            continue
        folder = run.path / "between" / "points" / f"{number:06d}"
        samples, scores = near.samples(), near.scores()
        samples["kl"] *= 1.02 * kl / means[near.step]
        scores.loc[scores["scorer"] == "gold", "value"] += moved
        write_table(folder / "samples.parquet", samples, "samples")
        write_table(folder / "outcomes.parquet", near.outcomes(), "outcomes")
        write_table(folder / "scores.parquet", scores, "scores")
    (run.path / "between" / BETWEEN).write_text(json.dumps({"schema": SCHEMA, "points": rows}))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """rloo and dpo kept their weights, kto did not; only dpo's policies between are worse than its points."""
    root = write_experiment(
        tmp_path_factory.mktemp("a"), kl_grid=GRID, methods={"rloo": 0.0, "dpo": 0.0, "kto": 0.0},
        proxies=("starved",), budgets=(), pool=None, noise=0.1, behaviour=None,
    )  # fmt: skip
    for run in Experiment.read(root).runs:
        if run.method != "kto":
            plant(root, run, (0.5, 1.0, 4.0), DROP if run.method == "dpo" else 0.0, lost=4.0)
    return tables(Experiment.read(root))


def test_what_was_measured_is_compared_and_the_rest_is_read_between_points(planted: Tables) -> None:
    table = planted.comparisons.query("score == 'gold'").set_index(["a", "kl"])
    dpo, kto = table.loc["dpo"], table.loc["kto"]
    assert dict(dpo["interpolated"]) == {
        kl: "checkpoints" if kl in (0.5, 1.0) else "points" for kl in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    }
    assert set(kto["interpolated"]) == {"points"}, "one side alone would be compared with something else"
    measured = dpo["interpolated"] == "checkpoints"
    np.testing.assert_allclose(dpo.loc[measured, "difference"], -1.0, atol=0.15)
    assert (dpo.loc[measured, "lo"] > -1.3).all() and (dpo.loc[measured, "hi"] < -0.7).all()
    np.testing.assert_allclose(dpo.loc[~measured, "difference"], 0.0, atol=0.1)


def test_other_scores_are_measured_on_the_same_policies(planted: Tables) -> None:
    table = planted.comparisons.query("a == 'dpo' and kl == 1.0").set_index("score")
    assert set(table["interpolated"]) == {"checkpoints"}
    np.testing.assert_allclose(table.loc[["oracle", "proxy_score"], "difference"], 0.0, atol=0.2)
    assert table.loc["win_rate", "difference"] < -0.1


def test_the_two_kinds_of_interpolation_are_held_against_each_other(planted: Tables) -> None:
    table = planted.checkpoints.query("score == 'gold'").set_index(["method", "kl"])
    assert set(table.index) == {(method, kl) for method in ("rloo", "dpo") for kl in (0.5, 1.0)}
    np.testing.assert_allclose(table.loc["dpo", "difference"], -1.0, atol=0.1)
    np.testing.assert_allclose(table.loc["rloo", "difference"], 0.0, atol=0.1)
    np.testing.assert_allclose(table["kl_measured"], 1.02 * table.index.get_level_values("kl"))
    sentence = agreement(planted.checkpoints, "gold")
    assert "differ by 0.5" in sentence and "of 4 places" in sentence
    assert agreement(planted.checkpoints.iloc[:0], "gold") == ""


def test_the_report_marks_them_and_names_what_was_not_found(planted: Tables) -> None:
    (grid,) = [grid for grid in COMPARISONS.grids(planted.study) if grid.title == "At equal KL: gold"]
    (dpo,) = [row for row in grid.rows if row[1] == "dpo − rloo"]
    assert [cell.endswith("*") for cell in dpo[2:]] == [False, True, True, False, False, False]
    assert "two neighbouring points. Policies interpolated" in grid.caption
    assert list(planted.gaps["run_id"]) == ["rloo-path-starved-0-0", "dpo-path-starved-0-0"]
    assert (
        planted.gaps["gap"].str.startswith("no policy with a KL of 4 nats was found between its steps").all()
    )


def test_without_kept_weights_nothing_is_said_of_them(tmp_path: Path) -> None:
    root = write_experiment(tmp_path, kl_grid=GRID, methods={"rloo": 0.0, "dpo": 0.0}, budgets=(), pool=None)
    computed = tables(Experiment.read(root))
    assert set(computed.comparisons["interpolated"]) == {"points"} and computed.checkpoints.empty
    assert all("asterisk: not between" not in grid.caption for grid in COMPARISONS.grids(computed.study))
