"""Shares add up to the gain, and go to what was planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import write_experiment

from analysis.behaviour.ledger import GROUPS, strata
from analysis.estimators.shapley import PairModel, shapley
from analysis.records.experiment import Experiment, write_table
from analysis.tables.tables import tables

ROWS, PROMPTS = 4000, 400


def _answers(rng: np.random.Generator, truth: float, agreement: float) -> pd.DataFrame:
    return pd.DataFrame({
        "correct": rng.uniform(size=ROWS) < truth, "abstains": False,
        "agrees": rng.uniform(size=ROWS) < agreement, "follows": None, "contradicts": False,
        "confident": rng.uniform(size=ROWS) < 0.3, "hedged": False, "praise": rng.integers(0, 4, ROWS),
        "evidence": 0, "words": rng.integers(4, 20, ROWS), "malformed": 0,
    })  # fmt: skip


def _planted(interaction: float):  # type: ignore[no-untyped-def]
    """r = 2·correct + 1·agrees + interaction·both + level of the prompt; both rise between the two points."""
    rng = np.random.default_rng(0)
    before, after = _answers(rng, 0.3, 0.2), _answers(rng, 0.5, 0.8)
    both = pd.concat([before, after], ignore_index=True)
    block = np.tile(np.arange(ROWS) % PROMPTS, 2)
    right, agrees = both["correct"].to_numpy(dtype=float), both["agrees"].to_numpy(dtype=float)
    score = 2 * right + agrees + interaction * right * agrees + rng.normal(0, 3, PROMPTS)[block]
    codes = strata(both)
    model = PairModel(codes, score, block, np.ones(len(both)))
    table = np.stack(list(codes.values()))
    shares = shapley(model, table[:, :ROWS], table[:, ROWS:])
    return shares, dict(zip(codes, shares.mean(axis=1), strict=True)), score, model


def test_without_interactions_a_share_is_coefficient_times_change() -> None:
    shares, mean, score, model = _planted(interaction=0.0)
    assert set(mean) == set(GROUPS)
    assert mean["truth"] == pytest.approx(2 * 0.2, abs=0.06)
    assert mean["agreement"] == pytest.approx(0.6, abs=0.06)
    assert all(abs(mean[name]) < 0.02 for name in ("confidence", "praise", "evidence", "length"))
    assert model.r2 > 0.99, "levels of prompts are not variance between answers"
    gain = score[ROWS:].mean() - score[:ROWS].mean()
    assert shares.sum(axis=0).mean() == pytest.approx(gain, abs=0.02)


def test_an_interaction_is_split_between_those_who_make_it() -> None:
    """Answer by answer, an interaction that appears with both features is halved between them."""
    _, mean, _, _ = _planted(interaction=1.0)
    # E[½·Δright·(agrees before + after)] with the two features drawn apart.
    assert mean["truth"] == pytest.approx(0.4 + 0.2 * 0.5 * (0.2 + 0.8), abs=0.07)
    assert mean["agreement"] == pytest.approx(0.6 + 0.6 * 0.5 * (0.3 + 0.5), abs=0.07)


def test_a_feature_that_does_not_change_earns_nothing_and_nothing_is_earned_at_the_start() -> None:
    rng = np.random.default_rng(1)
    codes = {name: rng.integers(0, 3, 500) for name in ("a", "b")}
    model = PairModel(codes, rng.normal(size=500), np.arange(500) % 50, np.ones(500))
    before = np.stack(list(codes.values()))
    after = np.stack([codes["a"], rng.integers(0, 3, 500)])
    assert np.allclose(shapley(model, before, before), 0)
    shares = shapley(model, before, after)
    assert np.allclose(shares[0], 0)
    assert np.allclose(shares.sum(axis=0), model.predict(after) - model.predict(before))


def test_what_these_records_do_not_tell_has_no_group() -> None:
    answers = _answers(np.random.default_rng(0), 0.5, 0.5).drop(columns=["agrees", "words"])
    assert set(strata(answers)) == set(GROUPS) - {"agreement", "length"}


def test_the_ledger_of_a_run_adds_up_and_blames_what_the_proxy_pays_for(tmp_path: Path) -> None:
    """The proxy of these records is replaced by one that pays 3 for saying yes and 0.5 for a fact, and one
    condition never occurs in natural prompts."""
    path = write_experiment(tmp_path, clusters=80, proxies=("starved",), pool=None, budgets=(),
                            kl_grid=(0, 1, 4, 9))  # fmt: skip
    items = pd.read_parquet(path / "items.parquet")
    items.loc[items["condition"] == "third_party", "weight"] = 0.0
    write_table(path / "items.parquet", items, "items")
    for point in (path / "rloo-path-starved-0-0" / "points").iterdir():
        outcomes, scores = (pd.read_parquet(point / f"{name}.parquet") for name in ("outcomes", "scores"))
        pays = 3.0 * outcomes["agrees"] + 0.5 * outcomes["correct"].eq(True)
        paid = dict(zip(outcomes["item_id"], pays, strict=True))
        mine = scores["scorer"].str.startswith("proxy/")
        scores.loc[mine, "value"] = scores.loc[mine, "item_id"].map(paid).astype(float)
        write_table(point / "scores.parquet", scores, "scores")
    found = tables(Experiment.read(path))
    gains = found.behaviour_gains.set_index("place")
    shares = found.behaviour_ledger.pivot(index="place", columns="source", values="share")
    np.testing.assert_allclose(shares.sum(axis=1), gains["gain"], atol=1e-9)
    np.testing.assert_allclose(gains["explained"] + gains["remainder"], gains["gain"], atol=1e-9)
    assert (shares.loc[0].abs() < 1e-9).all()
    last = shares.loc[3]
    assert last["agreement"] > 0.8 * gains.loc[3, "gain"] > 0 and abs(last["remainder"]) < 0.05
    assert abs(last["truth"]) < 0.2 * gains.loc[3, "gain"]
    end = tables(Experiment.read(path)).points.iloc[-1]
    assert gains.loc[3, "gain"] == pytest.approx(end["proxy_score"])
    assert gains.loc[1:, "within_length_share"].notna().all()
