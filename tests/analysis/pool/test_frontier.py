"""The frontier of a pool, against policies whose optimum is known exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.behaviour.frontier import PoolProbing
from analysis.pool.frontier import EFFECTIVE, RESIDUAL_SCORES, RESIDUALS, Tilted, residuals
from analysis.probes import PROBES, Evidence


def _finite(rng: np.random.Generator, completions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """π_ref, proxy and gold of a prompt with few completions."""
    return (
        rng.dirichlet(np.ones(completions)),
        rng.standard_normal(completions),
        rng.standard_normal(completions),
    )


def _optimum(p: np.ndarray, proxy: np.ndarray, beta: float) -> np.ndarray:
    tilted = p * np.exp(proxy / beta)
    return np.asarray(tilted / tilted.sum())


@pytest.mark.parametrize("beta", [4.0, 1.0, 0.5])
def test_the_enumerated_optimum_is_found(beta: float) -> None:
    rng = np.random.default_rng(0)
    p, proxy, gold = _finite(rng, 8)
    best = _optimum(p, proxy, beta)
    drawn = rng.choice(8, size=(20_000, 64), p=p)
    tilted = Tilted.of(proxy[drawn], beta)
    assert tilted.expected(proxy[drawn]).mean() == pytest.approx(best @ proxy, abs=0.01)
    assert tilted.expected(gold[drawn]).mean() == pytest.approx(best @ gold, abs=0.01)
    assert tilted.kl().mean() == pytest.approx(best @ np.log(best / p), rel=0.01, abs=0.002)


@pytest.mark.parametrize("kl", [0.1, 0.5, 1.0])
def test_a_gaussian_proxy_has_the_known_frontier(kl: float) -> None:
    """E_β[r] = 1/β = √(2 KL), and a score of correlation ρ gains ρ times as much."""
    rng = np.random.default_rng(1)
    proxy = rng.standard_normal((3000, 256))
    gold = 0.5 * proxy + np.sqrt(0.75) * rng.standard_normal(proxy.shape)
    tilted = Tilted.of(proxy, 1 / np.sqrt(2 * kl))
    assert tilted.effective.mean() > EFFECTIVE
    assert tilted.kl().mean() == pytest.approx(kl, rel=0.03)
    assert tilted.expected(proxy).mean() == pytest.approx(np.sqrt(2 * kl), rel=0.02)
    assert tilted.expected(gold).mean() == pytest.approx(0.5 * np.sqrt(2 * kl), rel=0.03)


def test_the_flag_goes_up_before_the_pool_runs_out() -> None:
    """Where the KL is no longer what it should be by 5 %, the effective sample size already says so."""
    proxy = np.random.default_rng(2).standard_normal((3000, 256))
    for kl in (2.5, 3.0, 4.0):
        tilted = Tilted.of(proxy, 1 / np.sqrt(2 * kl))
        if abs(tilted.kl().mean() / kl - 1) > 0.05:
            assert tilted.effective.mean() < EFFECTIVE
    assert abs(tilted.kl().mean() / 4.0 - 1) > 0.05  # the check above has bitten


def test_the_jackknife_takes_bias_away() -> None:
    rng = np.random.default_rng(3)
    p, proxy, _ = _finite(rng, 8)
    best = _optimum(p, proxy, 1.5)
    exact = best @ np.log(best / p)
    proxy = proxy[rng.choice(8, size=(40_000, 16), p=p)]
    tilted = Tilted.of(proxy, 1.5)
    plain = (tilted.weights * tilted.log_weights).sum(axis=1).mean()
    assert abs(tilted.kl().mean() - exact) < 0.3 * abs(plain - exact)


def test_a_constant_proxy_tilts_nothing() -> None:
    score = np.random.default_rng(4).standard_normal((3, 32))
    tilted = Tilted.of(np.ones((3, 32)), 0.1)
    np.testing.assert_allclose(tilted.kl(), 0, atol=1e-9)
    np.testing.assert_allclose(tilted.expected(score), score.mean(axis=1))
    np.testing.assert_allclose(tilted.effective, 32)


def test_extreme_tilts_stay_finite() -> None:
    proxy = np.random.default_rng(5).standard_normal((3, 32))
    tilted = Tilted.of(proxy, 1e-4)
    assert np.isfinite(tilted.kl()).all() and np.isfinite(tilted.expected(proxy)).all()
    np.testing.assert_allclose(tilted.effective, 1)


def test_residuals_are_what_is_above_the_frontier_and_stop_where_it_does() -> None:
    frontier = pd.DataFrame({"proxy": "ample", "reliable": [True, True, False], "sqrt_kl": [0.5, 1.0, 2.0]})
    for name in RESIDUAL_SCORES:
        frontier = frontier.assign(**{name: frontier["sqrt_kl"], f"{name}_lo": 0.0, f"{name}_hi": 0.6})
    points = pd.DataFrame(
        {"run_id": "r", "method": "rloo", "proxy": "ample", "proxy_pairs": 1, "step": [0, 1, 2]}
    )
    points["sqrt_kl"] = [0.0, 0.75, 1.5]
    points["kl"] = points["sqrt_kl"] ** 2
    for name in RESIDUAL_SCORES:
        points = points.assign(**{name: points["sqrt_kl"] + 0.1, f"{name}_lo": 0.0, f"{name}_hi": 0.8})
    found = residuals(points, frontier)
    assert list(found.columns) == RESIDUALS.names
    assert list(found["step"]) == [0, 1]  # √KL = 1.5 lies beyond the last reliable place
    np.testing.assert_allclose(found["gold_residual"], 0.1)
    # Half-widths 0.4 and 0.3 add in squares.
    np.testing.assert_allclose(found["gold_residual_hi"] - found["gold_residual"], [0.4, 0.5])


def _pool_of_facts(facts: int, samples: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """One prompt per fact and stance; a proxy that likes agreement twice as much as it likes the truth."""
    rng = np.random.default_rng(6)
    stances = [("none", None, None), ("own", "wrong", False), ("own", "right", True)]
    rows = [
        {"item_id": f"{fact}-{i}", "cluster": f"{fact}-{i}", "condition": "natural", "weight": 1.0,
         "entity": f"e{fact}", "relation": "r", "answerable": True, "truth": "right", "stance": stance,
         "belief": belief, "belief_correct": correct}
        for fact in range(facts) for i, (stance, belief, correct) in enumerate(stances)
    ]  # fmt: skip
    items = pd.DataFrame(rows)
    answers = items.loc[items.index.repeat(samples)].reset_index(drop=True)
    answers["stated"] = rng.choice(["right", "wrong", "other"], p=[0.6, 0.2, 0.2], size=len(answers))
    answers["correct"] = answers["stated"] == "right"
    answers["agrees"] = (answers["stated"] == answers["belief"]).to_numpy()
    answers["abstains"] = False
    proxy = 2.0 * answers["agrees"] + 1.0 * answers["correct"]
    return items, answers, proxy.to_numpy(dtype=float).reshape(len(items), samples)


def test_probes_of_the_optimum_are_those_of_the_tilted_distribution() -> None:
    """P(state the wrong belief | the user holds it) under π_ref exp(r/β)/Z: weights .2e², .6e and .2."""
    items, answers, proxy = _pool_of_facts(facts=40, samples=400)
    reference = answers[answers["stance"] == "none"].assign(condition="neutral")
    probing = PoolProbing(items, answers, Evidence.gather(items, reference))
    assert not {"sycophancy", "forgetting", "abstention"} & set(probing.refused)
    rates = {row["measure"]: row["value"] for row in probing.rates(Tilted.of(proxy, 1.0))}
    e = np.e
    assert rates["sycophancy"] == pytest.approx(0.2 * e**2 / (0.2 * e**2 + 0.6 * e + 0.2), abs=0.015)
    assert rates["neutral_accuracy"] == pytest.approx(0.6 * e / (0.6 * e + 0.4), abs=0.015)
    assert rates["right_accuracy"] == pytest.approx(0.6 * e**3 / (0.6 * e**3 + 0.4), abs=0.015)
    assert rates["sycophancy_floor"] == pytest.approx(0.2 / (0.6 * e + 0.4), abs=0.015)
    start = {row["measure"]: row["value"] for row in probing.rates(Tilted.of(proxy, np.inf))}
    assert start["sycophancy"] == pytest.approx(0.2, abs=0.015)
    assert start["forgetting"] == pytest.approx(0, abs=1e-9)
    kept = rates["neutral_accuracy"] / start["neutral_accuracy"]
    assert rates["forgetting"] == pytest.approx(1 - kept)


def test_a_pool_that_does_not_say_what_was_asked_has_no_probes_and_says_why() -> None:
    items, answers, _ = _pool_of_facts(facts=2, samples=4)
    bare = PoolProbing(items.drop(columns="entity"), answers, Evidence.gather(items, None))
    assert set(bare.refused) == set(PROBES) and "`entity`" in bare.refused["sycophancy"]
    assert list(bare.rates(Tilted.of(np.zeros((6, 4)), 1.0))) == []
