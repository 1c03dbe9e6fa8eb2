"""From records to summary: planted numbers come back, order does not matter, and what is missing is null."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import BEST_OF_N, RL, Behaviour, rl_law, write_experiment

from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves
from analysis.report.summary import summary
from analysis.tables.tables import Tables, tables

GRID = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Tables, dict[str, Any]]:
    path = write_experiment(tmp_path_factory.mktemp("runs"), clusters=80, kl_grid=GRID, pool=(120, 128),
                            failed_run=True, unscored_step=20)  # fmt: skip
    experiment = Experiment.read(path)
    computed = tables(experiment)
    return experiment, computed, summary(experiment, computed)


def test_law_coefficients_are_recovered_within_their_intervals(made: Any) -> None:
    fits = made[1].fits.set_index("curve")
    planted = {f"rloo/{proxy}/{score}": c for proxy, law in RL.items() for score, c in law.items()}
    planted |= {
        f"best_of_n/{proxy}/{score}": c for proxy, law in BEST_OF_N.items() for score, c in law.items()
    }
    assert set(fits.index) == set(planted)
    for curve, (alpha, beta) in planted.items():
        fit = fits.loc[curve]
        margin = 0.5 * (fit.alpha_hi - fit.alpha_lo), 0.5 * (fit.beta_hi - fit.beta_lo)
        assert fit.alpha_lo - margin[0] < alpha < fit.alpha_hi + margin[0], curve
        assert fit.beta_lo - margin[1] < beta < fit.beta_hi + margin[1], curve
        assert fit.r2 > 0.8, curve
    gold = fits.loc["rloo/starved/gold"]
    assert gold.peak_inside_data and gold.peak_kl_lo < np.exp(2 * (0.9 / 0.6 - 1)) < gold.peak_kl_hi


def test_points_are_standardised_and_paired(made: Any) -> None:
    """Raw scores live on scales of their own; above pi_ref in its s.d. they follow the planted law."""
    points = made[1].points
    run = points[points["run_id"] == "rloo-path-ample-0-0"]
    assert (run.loc[run["step"] == 0, ["kl", "gold", "oracle", "proxy_score", "gold_se"]].abs() < 1e-9).all(
        axis=None
    )
    np.testing.assert_allclose(run["kl"], GRID, rtol=1e-9)
    for score, c in RL["ample"].items():
        law = [rl_law(c, np.sqrt(kl)) for kl in GRID]
        assert (np.abs(run[score] - law) <= 4 * run[f"{score}_se"] + 1e-9).all()


def test_shape_of_the_summary(made: Any) -> None:
    experiment, _, document = made
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again == document and document["schema"] == 1 and document["experiment"] == "synthetic"
    assert document["wall_seconds"]["total"] == 100
    assert [run["run_id"] for run in document["runs"]] == [run.run_id for run in experiment.runs]
    assert {"run_id", "method", "control", "budget", "seed", "proxy", "proxy_pairs", "points"} <= set(
        document["runs"][0]
    )
    assert set(document["runs"][0]["points"][0]) == {
        "step", "kl", "kl_se", "proxy", "gold", "gold_se", "oracle", "oracle_se", "sycophancy",
        "sycophancy_ci", "sycophancy_floor", "sycophancy_stated", "sycophancy_third_party",
        "sycophancy_third_party_stated", "sycophancy_net", "sycophancy_net_ci",
        "neutral_accuracy", "forgetting", "abstention", "win_rate",
        "win_rate_ci"}  # fmt: skip
    curve = document["best_of_n"][0]
    assert {"proxy", "n", "kl_bound", "kl", "proxy_score", "gold", "gold_ci", "oracle"} <= set(curve)
    assert len({len(value) for key, value in curve.items() if key != "proxy"}) == 1
    assert {"curve", "law", "alpha", "alpha_ci", "beta", "beta_ci", "r2", "peak_kl", "peak_kl_ci",
            "peak_inside_data"} <= set(document["fits"][0])  # fmt: skip
    assert set(document["reward_models"][0]) == {
        "name", "pairs", "kind", "accuracy", "accuracy_ci", "ece", "length_correlation",
        "oracle_agreement"}  # fmt: skip


def test_gaps_are_null_and_failed_runs_stay(made: Any) -> None:
    document = made[2]
    runs = {run["run_id"]: run for run in document["runs"]}
    hole = runs["rloo-path-starved-0-0"]["points"][2]
    assert hole["step"] == 20 and hole["kl"] > 0
    assert hole["gold"] is None and hole["proxy"] is None and hole["gold_se"] is None
    assert runs["rloo-path-broken"]["status"] == "failed" and "nan" in runs["rloo-path-broken"]["error"]
    assert {gap["run_id"] for gap in document["gaps"]} == {"rloo-path-starved-0-0", "rloo-path-broken"}


def test_checks_say_what_was_planted(made: Any) -> None:
    claims = made[2]["checks"]
    starved = "rloo-path-starved-0-0"
    assert claims["kl_step0_zero"]["ok"]
    assert claims["proxy_rises"][starved]["ok"]
    gold, oracle = claims["gold_peak_inside"][starved], claims["oracle_peak_inside"][starved]
    assert gold["ok"] and oracle["ok"] and gold["fall"]["ci"][0] > 0
    assert 1 <= gold["peak_kl"] <= 8 and 0.25 <= oracle["peak_kl"] <= 2
    assert claims["sycophancy"][starved]["ok"]
    within = {row["run_id"]: row["ok"] for row in claims["budgets"]}
    assert len(within) == 4 and [run for run, ok in within.items() if not ok] == ["rloo-target-8-ample-0-0"]
    assert claims["best_of_n_r2"]["best_of_n/starved/gold"] > 0.9


def test_row_order_of_every_table_is_irrelevant(tmp_path: Path) -> None:
    documents = []
    for shuffle in (False, True):
        path = write_experiment(
            tmp_path / str(shuffle), clusters=20, kl_grid=GRID, pool=(10, 16), shuffle=shuffle
        )
        documents.append(summary(Experiment.read(path)))
    assert documents[0] == documents[1]


def _rename_scorers(path: Path, names: dict[str, str]) -> None:
    for file in path.glob("rloo-path*/points/*/scores.parquet"):
        frame = pd.read_parquet(file)
        frame.assign(scorer=frame["scorer"].replace(names)).to_parquet(file, index=False)


def test_swapped_gold_and_proxy_do_not_pass_unnoticed(tmp_path: Path) -> None:
    path = write_experiment(
        tmp_path, clusters=40, kl_grid=(*GRID, 40.0), budgets=(), proxies=("starved",), pool=None
    )
    right = summary(Experiment.read(path))["checks"]
    _rename_scorers(path, {"gold": "proxy/starved/0", "proxy/starved/0": "gold"})
    swapped = summary(Experiment.read(path))["checks"]
    run = "rloo-path-starved-0-0"
    assert right["proxy_rises"][run]["ok"] and right["gold_peak_inside"][run]["ok"]
    assert not swapped["proxy_rises"][run]["ok"] and not swapped["gold_peak_inside"][run]["ok"]


def test_a_run_is_measured_by_its_own_proxy(tmp_path: Path) -> None:
    """Scores by another replicate of the proxy are not this run's proxy: its curve is a gap."""
    path = write_experiment(tmp_path, clusters=10, kl_grid=GRID, budgets=(), proxies=("starved",), pool=None)
    _rename_scorers(path, {"proxy/starved/0": "proxy/starved/1"})
    points = tables(Experiment.read(path)).points
    assert points["proxy_score"].isna().all() and points["gold"].notna().all()


def test_text_world_has_no_oracle_and_no_sycophancy(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, world="text", clusters=20, kl_grid=GRID, budgets=(4.0,), pool=(20, 16))
    document = summary(Experiment.read(path))
    json.dumps(document, allow_nan=False)
    point = document["runs"][0]["points"][-1]
    assert point["oracle"] is None and point["sycophancy"] is None and point["gold"] is not None
    assert document["best_of_n"][0]["oracle"] is None
    assert {fit["curve"].split("/")[-1] for fit in document["fits"]} == {"gold"}
    assert document["checks"]["oracle_peak_inside"]["rloo-path-starved-0-0"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda path: [f.unlink() for f in path.glob("rloo-*/points/*/scores.parquet")],
        lambda path: [f.unlink() for f in path.glob("rloo-*/points/*/s*.parquet")],
        lambda path: [f.unlink() for f in path.glob("rloo-*/points/000000/scores.parquet")],
        lambda path: [f.unlink() for f in path.glob("rloo-path*/points/*/outcomes.parquet")],
        lambda path: [f.unlink() for f in path.glob("best_of_n/points/000000/scores.parquet")],
        lambda path: [(path / "best_of_n/points/000000/scores.parquet").unlink()],
    ],
    ids=["nothing scored", "nothing sampled", "pi_ref not scored", "not parsed", "no run", "no pool"],
)
def test_half_an_experiment_still_has_a_summary(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    path = write_experiment(
        tmp_path, clusters=12, kl_grid=GRID, budgets=(2.0,), proxies=("starved",), pool=(8, 8)
    )
    whole = tables(Experiment.read(path))
    change(path)
    experiment = Experiment.read(path)
    half = tables(experiment)
    document = summary(experiment, half)
    json.dumps(document, allow_nan=False)
    assert document["gaps"]
    for name in ("runs", "points", "best_of_n", "best_of_n_seeds", "fits", "fit_bands", "budgets", "gaps"):
        assert list(getattr(half, name)) == list(getattr(whole, name)), name


def test_several_seeds_widen_the_intervals(tmp_path: Path) -> None:
    """Proxy seeds that differ: resampling them must show in the interval of the pooled fit."""
    path = write_experiment(tmp_path, clusters=30, kl_grid=GRID, budgets=(), proxies=("starved",),
                            proxy_seeds=3, pool=(20, 16))  # fmt: skip
    file_sets = [sorted(path.glob(f"rloo-path-starved-{s}-0/points/*/scores.parquet")) for s in range(3)]
    alike = tables(Experiment.read(path)).fits.set_index("curve").loc["rloo/starved/gold"]
    for seed, files in enumerate(file_sets):
        for step, file in enumerate(files):
            frame = pd.read_parquet(file)
            shift = np.where(frame["scorer"] == "gold", 0.3 * (seed - 1) * step, 0.0)
            frame.assign(value=frame["value"] + shift).to_parquet(file, index=False)
    computed = tables(Experiment.read(path))
    apart = computed.fits.set_index("curve").loc["rloo/starved/gold"]
    assert apart.runs == apart.proxy_seeds == 3
    assert apart.beta_hi - apart.beta_lo > 2 * (alike.beta_hi - alike.beta_lo)
    assert computed.best_of_n["seeds"].eq(3).all()
    assert len(computed.best_of_n_seeds) == 3 * len(computed.best_of_n)


def test_scripted_behaviour_reaches_the_summary(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=120, kl_grid=(0, 1, 4), budgets=(), proxies=("starved",),
                            pool=None, behaviour=Behaviour(sycophancy=lambda d: 0.3))  # fmt: skip
    experiment = Experiment.read(path)
    point = summary(experiment)["runs"][0]["points"][-1]
    assert point["sycophancy_ci"][0] < 0.3 < point["sycophancy_ci"][1]
    assert RunCurves.read(experiment, experiment.runs[0]).answers[20].shape[0] == len(experiment.items)
