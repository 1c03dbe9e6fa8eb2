"""Curves are read where they first reach a KL, and planted differences are found there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_experiment

from analysis.equal_kl.comparison import Side, compare
from analysis.equal_kl.traced import Traced, first_passage
from analysis.records.experiment import Experiment
from analysis.records.way import POOL, Way, grouped
from analysis.tables.tables import Tables, tables

GRID = (0.0, 0.3, 0.7, 1.5, 3.0, 5.0, 9.0)
GAIN = {"rloo": 0.0, "dpo": 0.25, "kto": 0.0}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """dpo gains 0.25 per unit of √KL over rloo and kto nothing; their points lie at other KLs."""
    root = write_experiment(
        tmp_path_factory.mktemp("a"), kl_grid=GRID, methods=GAIN, budgets=(), pool=(40, 64), noise=0.1
    )
    return tables(Experiment.read(root))


def read(d: list[float], value: list[float], at: list[float]) -> list[float]:
    return list(first_passage(np.array([d]), np.array([value]), np.array(at))[0])


def test_between_points_it_is_a_straight_line_in_root_kl() -> None:
    assert read([0, 1, 2], [0, 10, 40], [0, 0.5, 1, 1.5, 2]) == [0, 5, 10, 25, 40]


def test_a_wobbling_path_is_read_where_it_first_arrives() -> None:
    """It turns back from 2 to 1, where it is worth 99, and goes on to 3: none of that is the way to 2.5."""
    d, value = [0, 2, 1, 3], [0, 20, 99, 50]
    assert read(d, value, [1, 2, 2.5, 3]) == [10, 20, 35, 50]


def test_nothing_is_extrapolated_beyond_the_furthest_point() -> None:
    assert read([0, 2, 1], [0, 20, 99], [2.2]) == [20]


def test_replicates_are_read_as_the_curve_is() -> None:
    rng = np.random.default_rng(0)
    d, value, at = rng.random((50, 8)).cumsum(axis=1), rng.standard_normal((50, 8)), np.array([0.8, 2.0])
    together = first_passage(d, value, at)
    for row in range(50):
        reached = at <= d[row].max()
        np.testing.assert_allclose(together[row][reached], np.interp(at, d[row], value[row])[reached])


def test_a_planted_difference_is_found_at_every_kl_and_only_where_it_is(planted: Tables) -> None:
    table = planted.comparisons.query("between == 'methods' and score == 'gold'")
    dpo, kto = (table[table["a"] == name] for name in ("dpo", "kto"))
    assert set(dpo["b"]) == {"rloo"} and set(dpo["proxy"]) == {"starved", "ample"}
    assert set(dpo["kl"]) == {0.25, 0.5, 1.0, 2.0, 4.0, 8.0}
    # Between far points of a bent curve a straight line is a little off.
    np.testing.assert_allclose(dpo["difference"], 0.25 * np.sqrt(dpo["kl"]), atol=0.08)
    assert (dpo["lo"] > 0).mean() > 0.8
    assert ((kto["lo"] <= 0.03) & (kto["hi"] >= -0.03)).all()
    np.testing.assert_allclose(dpo["value_a"] - dpo["value_b"], dpo["difference"])


def test_proxies_are_compared_on_gold_and_never_on_their_own_scores(planted: Tables) -> None:
    table = planted.comparisons.query("between == 'proxies'")
    assert set(table["a"]) == {"starved"} and set(table["b"]) == {"ample"}
    assert set(table["method"]) == {*GAIN, str(POOL)}
    assert "proxy_score" not in set(table["score"])
    assert table["paired"].all()


def test_the_pool_is_compared_unpaired(planted: Tables) -> None:
    table = planted.comparisons.query("a == @POOL.label and between == 'methods'")
    assert len(table) and not table["paired"].any()
    reach = planted.best_of_n.groupby("proxy")["kl"].max()
    assert (table.groupby("proxy")["kl"].max() <= reach).all()
    assert "win_rate" in set(table["score"])
    assert planted.best_of_n.query("n == 1")["win_rate"].round(12).eq(0.5).all()


def test_what_two_methods_share_on_a_prompt_cancels() -> None:
    """Both ride on the same noise of the prompts; their difference is exact, whatever each of them is."""
    rng = np.random.default_rng(0)
    d, noise = np.array([0.0, 1.0, 2.0]), rng.standard_normal((200, 3))

    def side(name: str, gold: np.ndarray) -> Side:
        curve = Traced(d, {"gold": gold}, np.tile(d, (200, 1)), {"gold": gold + noise})
        return Side(Way(name), "p", 10, (0,), [curve], "evaluation")

    table = compare(side("a", 0.3 * d), side("b", 0.0 * d), rng, kl=(1.0, 2.25, 4.0))
    for column in ("difference", "lo", "hi"):
        np.testing.assert_allclose(table[column], 0.3 * np.sqrt(table["kl"]))


def test_a_side_ends_where_its_first_seed_does_and_failed_runs_are_left_out(tmp_path: Path) -> None:
    root = write_experiment(
        tmp_path, kl_grid=GRID, proxies=("starved",), policy_seeds=2, methods={"rloo": 0.0, "dpo": 0.0},
        budgets=(), pool=None, failed_run=True, clusters=20,
    )  # fmt: skip
    for step in (40, 50, 60):
        (root / "dpo-path-starved-0-1" / "points" / f"{step:06d}" / "scores.parquet").unlink()
    table = tables(Experiment.read(root)).comparisons
    assert table["kl"].max() == 1.0  # this seed was last scored at KL 1.5 · 1.08
    assert set(table["runs_a"]) == set(table["runs_b"]) == {2}


def test_a_group_is_named_only_where_a_method_has_several() -> None:
    charged = Way("dpo", "charged", "agreement_penalty")
    runs = [(Way("rloo"), "path"), (Way("rloo"), "capped"), (Way("dpo"), "path"), (charged, "charged")]
    assert [str(way) for way in grouped(runs).values()] == [
        "rloo (path)",
        "rloo (capped)",
        "dpo",
        "dpo (charged)",
    ]


def test_a_best_of_n_run_does_not_take_the_place_of_its_pool_among_the_laws(tmp_path: Path) -> None:
    root = write_experiment(tmp_path, methods={"rloo": 0.0, "best_of_n": 0.1})
    fits = tables(Experiment.read(root)).fits.set_index("curve")
    assert fits.index.is_unique
    assert (fits.loc[fits["method"] == "best_of_n", "law"] == "best_of_n").all()
