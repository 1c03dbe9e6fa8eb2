"""What base samples foretell is what an optimal policy does; what training adds is the residual."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly
from synthetic_behaviours import planted_paths

from analysis.behaviour.contagion import contagion
from analysis.behaviour.frontier import PoolProbing
from analysis.behaviour.prediction import foresee, predictions
from analysis.pool.curves import ScoredPool
from analysis.probes import Evidence

FACTS, SAMPLES = 60, 400
GIVES_IN = 0.3
"""P(state the user's wrong belief) of π_ref, and of the planted paths at point 0."""


def _pool(like: float, seed: int = 0, noise: float = 1.0) -> tuple[ScoredPool, PoolProbing]:
    """Prompts with a wrong belief; a proxy of unit noise that likes giving in by `like` of its s.d."""
    rng = np.random.default_rng(seed)
    items = pd.DataFrame({
        "item_id": [f"i{k}" for k in range(2 * FACTS)], "cluster": [f"i{k}" for k in range(2 * FACTS)],
        "condition": "natural", "weight": 1.0, "entity": [f"e{k // 2}" for k in range(2 * FACTS)],
        "relation": "r", "answerable": True, "truth": "right", "stance": ["own", "none"] * FACTS,
        "belief": ["wrong", None] * FACTS, "belief_correct": [False, None] * FACTS,
        "strength": "medium",
    })  # fmt: skip
    answers = items.loc[items.index.repeat(SAMPLES)].reset_index(drop=True)
    wrong = rng.uniform(size=len(answers)) < np.where(answers["stance"] == "own", GIVES_IN, 0.02)
    answers["stated"] = np.where(wrong, "wrong", "right")
    answers["correct"] = ~wrong
    answers["abstains"] = answers["agrees"] = answers["confident"] = answers["hedged"] = False
    answers["follows"] = answers["contradicts"] = False
    reference = answers[answers["stance"] == "none"].assign(condition="neutral")
    score = like * wrong + noise * rng.standard_normal(len(answers))
    score = score.reshape(len(items), SAMPLES)
    pool = ScoredPool(
        {"proxy/p/0": score}, np.ones(len(items)), np.arange(len(items)), [("p", 0, "proxy/p/0")]
    )
    return pool, PoolProbing(items, answers, Evidence.gather(items, reference))


def _gibbs_rate(like: float, beta: float) -> float:
    tilted = GIVES_IN * np.exp(like / beta)
    return float(tilted / (tilted + 1 - GIVES_IN))


def test_the_rate_of_the_optimum_is_foretold_from_base_samples() -> None:
    pool, probing = _pool(like=1.5)
    base = foresee(pool, probing, "p")["sycophancy"]
    # The mean over prompts of KL at β, where half of the prompts hold a belief: read the curve back in β.
    from analysis.estimators.bootstrap import ClusterSums
    from analysis.pool.frontier import Tilted

    for beta in (4.0, 1.5):
        kl = ClusterSums.of(Tilted.of(pool.scores["proxy/p/0"], beta).kl(), pool.weight, pool.cluster).mean()
        change = float(base.change(np.sqrt([float(kl)])).mean()[0])
        assert change == pytest.approx(_gibbs_rate(1.5, beta) - GIVES_IN, abs=0.02)
    assert base.covariance.mean()[0] == pytest.approx(1.5 * GIVES_IN * (1 - GIVES_IN), abs=0.02)


def _paths(pool: ScoredPool, probing: PoolProbing, like: float, extra: float = 0.0):  # type: ignore[no-untyped-def]
    """A path that does what the optimum does at every KL, and `extra` per √KL besides."""
    base = foresee(pool, probing, "p")["sycophancy"]

    def rate(d: float) -> float:
        return GIVES_IN + float(base.change(np.array([d])).mean()[0]) + extra * d

    return planted_paths({"p": {"sycophancy": rate}}, (0, 0.1, 0.25, 0.5, 1.0, 1.5), clusters=3000)


@pytest.mark.parametrize("like", [1.5, -1.5])
def test_a_policy_that_only_reweights_is_predicted_in_sign_and_size(like: float) -> None:
    pool, probing = _pool(like)
    found = predictions(_paths(pool, probing, like), {"p": foresee(pool, probing, "p")}, {"sycophancy": "s"},
                        np.random.default_rng(0))  # fmt: skip
    last = found.table[found.table["furthest"]].iloc[0]
    assert last["sign_right"] is True and np.sign(last["covariance"]) == np.sign(like)
    assert (found.table["residual_lo"] < 0).all() and (found.table["residual_hi"] > 0).all()
    summary = found.calibration.iloc[0]
    tables = SimpleNamespace(behaviour_predictions=found.table, behaviour_calibration=found.calibration)
    draw_soundly("predicted_behaviour", SimpleNamespace(tables=tables), "measured")  # type: ignore[arg-type]
    assert np.isnan(summary["kl"]) and summary["hit_rate"] == 1 and summary["changed"] == 1
    assert summary["slope_lo"] < 1 < summary["slope_hi"] and summary["slope"] == pytest.approx(1, abs=0.2)


def test_what_training_adds_to_reweighting_is_the_residual() -> None:
    pool, probing = _pool(1.5)
    found = predictions(_paths(pool, probing, 1.5, extra=0.15), {"p": foresee(pool, probing, "p")},
                        {"sycophancy": "s"}, np.random.default_rng(0))  # fmt: skip
    at_one = found.table.set_index("kl").loc[1.0] if 1.0 in set(found.table["kl"]) else found.table.iloc[-1]
    assert at_one["residual_lo"] > 0
    assert at_one["residual"] == pytest.approx(0.15 * np.sqrt(at_one.name if at_one.name else 1), abs=0.06)


def test_a_sign_is_only_judged_where_training_changed_something() -> None:
    pool, probing = _pool(1.5)
    flat = planted_paths({"p": {"sycophancy": lambda d: GIVES_IN}}, (0, 0.25, 0.5, 1.0), clusters=200)
    found = predictions(flat, {"p": foresee(pool, probing, "p")}, {"sycophancy": "s"},
                        np.random.default_rng(0))  # fmt: skip
    assert found.table["sign_right"].isna().all() and found.calibration["hit_rate"].isna().all()


def test_a_proxy_without_a_pool_is_not_predicted() -> None:
    pool, probing = _pool(1.5)
    assert foresee(pool, probing, "another") == {}
    paths = planted_paths({"p": {"sycophancy": lambda d: 0.3}}, (0, 0.5, 1.0))
    found = predictions(paths, {}, {"sycophancy": "s"}, np.random.default_rng(0))
    assert found.table.empty and found.calibration.empty


def test_contagion_is_the_change_beyond_that_of_the_clean_annotator() -> None:
    """Both policies grow more verbose; only the flattered one gives in, and it starts to guess as well."""
    clean = {"sycophancy": lambda d: 0.3, "guessing": lambda d: 0.2, "verbosity": lambda d: 0.2 + 0.1 * d}
    biased = {
        "sycophancy": lambda d: 0.3 + 0.2 * d, "guessing": lambda d: 0.2 + 0.1 * d,
        "verbosity": lambda d: 0.2 + 0.1 * d,
    }  # fmt: skip
    paths = planted_paths({"clean": clean, "flattered": biased}, (0, 0.5, 1.0, 2.0, 4.2), clusters=1500)
    doses = {"clean": ("bias", 0.0), "flattered": ("bias", 1.0)}
    found = contagion(paths, {name: name for name in clean}, doses).set_index("behaviour")
    assert set(found["kl"]) == {4.0} and set(found["proxy"]) == {"flattered"}
    for name, planted in {"sycophancy": 0.4, "guessing": 0.2, "verbosity": 0.0}.items():
        row = found.loc[name]
        assert row["lo"] < planted < row["hi"] and row["difference"] == pytest.approx(planted, abs=0.07)
    assert found["beyond_chance"].to_dict() == {"sycophancy": True, "guessing": True, "verbosity": False}
    assert contagion(paths, {"guessing": "g"}, {"flattered": ("bias", 1.0)}).empty, "no clean annotator"
