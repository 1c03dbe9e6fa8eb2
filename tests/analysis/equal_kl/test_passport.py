"""The same run in every convention: known readings, the known law, and no number that was not recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import write_experiment

from analysis.equal_kl.passport import CONVENTIONS, NOT_RECORDED, PASSPORT
from analysis.records.experiment import Experiment
from analysis.tables.tables import Tables, tables

GRID = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def experiment(root: Path, **settings: object) -> Tables:
    made = write_experiment(root, kl_grid=GRID, proxies=("starved",), pool=None, noise=0.05, **settings)  # type: ignore[arg-type]
    return tables(Experiment.read(made))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return experiment(tmp_path_factory.mktemp("passport"), budgets=(2.0,))


def row(made: Tables, convention: str) -> Any:
    return made.passport.set_index(["run_id", "convention"]).loc[("rloo-path-starved-0-0", convention)]


def test_every_run_has_a_row_for_every_convention(made: Tables) -> None:
    runs = made.passport.groupby("run_id")["convention"].agg(list)
    assert set(runs.index) == {"rloo-path-starved-0-0", "rloo-target-2-starved-0-0"}
    assert all(found == list(CONVENTIONS) for found in runs)


def test_our_own_convention_is_the_axis_and_the_law_of_the_report(made: Tables) -> None:
    ours = row(made, "kl")
    points = made.points.query("run_id == 'rloo-path-starved-0-0'")
    assert ours["peak_kl"] == points.loc[points["gold"].idxmax(), "kl"] and ours["peak_turned"]
    assert ours["last_kl"] == points["kl"].iloc[-1] and ours["ratio"] == 1
    fit = made.fits.set_index("curve").loc["rloo/starved/gold"]
    assert ours[["alpha", "beta"]].tolist() == pytest.approx(fit[["alpha", "beta"]].tolist(), rel=1e-6)


@pytest.mark.parametrize(("convention", "factor"), [("reverse", 0.8), ("clamped", 1.5), ("k1", 1.0)])
def test_a_proportional_axis_changes_the_law_as_algebra_says(
    made: Tables, convention: str, factor: float
) -> None:
    """d' = s·d turns d(α − β log d) into d'(α' − β' log d') with β' = β/s and α' = (α + β log s)/s."""
    ours, theirs, s = row(made, "kl"), row(made, convention), np.sqrt(factor)
    assert theirs["ratio"] == pytest.approx(factor)
    assert theirs["beta"] == pytest.approx(ours["beta"] / s, rel=1e-6)
    assert theirs["alpha"] == pytest.approx((ours["alpha"] + ours["beta"] * np.log(s)) / s, rel=1e-6)


def test_readings_of_the_remaining_conventions(made: Tables) -> None:
    points = made.points.query("run_id == 'rloo-path-starved-0-0'")
    last = points.iloc[-1]
    assert row(made, "per_token")["last_kl"] == pytest.approx(last["kl"] / last["length"])
    # The synthetic k2 is kl + kl²/2 per sequence, and its prompts hold half of their KL.
    assert row(made, "with_prompt")["last_kl"] == pytest.approx(last["k2"] + 0.5 * last["kl"])


def test_only_paths_have_a_law(made: Tables) -> None:
    held = made.passport.query("control == 'target'")
    assert held[["alpha", "beta"]].isna().all(axis=None) and held["refused"].notna().all()
    assert held["last_kl"].notna().all()


def test_older_records_say_what_they_did_not_record(tmp_path: Path) -> None:
    old = experiment(tmp_path, later_kl=False, budgets=())
    for convention in ("with_prompt", "clamped"):
        missing = row(old, convention)
        assert not missing["recorded"] and missing["refused"] == NOT_RECORDED, PASSPORT
        assert missing[["peak_kl", "last_kl", "alpha", "beta", "ratio"]].isna().all()
    assert row(old, "kl")["recorded"]
    units = PASSPORT.grids(old.study)[0]
    assert [cell for cell in units.rows[0] if cell == NOT_RECORDED] == [NOT_RECORDED] * 2
