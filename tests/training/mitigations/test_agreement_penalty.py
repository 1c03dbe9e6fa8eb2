"""The agreement penalty: exact on tables of completions, and charged to the right samples in real
rollouts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rollouts import METHODS, Silent, job, make_home
from scipy.special import logsumexp

from analysis.pool.exact import expected, tilted
from training.methods import Dpo
from training.methods.trainers.best_of_n import pool
from training.methods.trainers.offline import preferences
from training.methods.trainers.proxy_reward import ProxyReward
from training.mitigations import AgreementPenalty
from training.mitigations.agreement_penalty import LAMBDA, global_penalty
from training.mitigations.base import Known

ETAS = (0.2, 0.7, 1.5, 4.0, 12.0)


# --- Theorem 6, exactly -----------------------------------------------------------------------------


def table(seed: int = 0, prompts: int = 60, size: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log π_ref, reward and agreement of every completion, (prompts, size); some tilt one way, some the
    other."""
    rng = np.random.default_rng(seed)
    log_p = rng.normal(size=(prompts, size))
    agrees = rng.random((prompts, size)) < rng.uniform(0.1, 0.7, (prompts, 1))
    agrees[:, 0], agrees[:, 1] = True, False
    reward = rng.normal(size=(prompts, size)) + rng.normal(0.3, 0.8, (prompts, 1)) * agrees
    reward += rng.normal(0, 2, (prompts, 1))  # what the proxy thinks of a prompt as such
    return log_p - logsumexp(log_p, axis=1, keepdims=True), reward, agrees


def exact_moments(
    log_p: np.ndarray, reward: np.ndarray, agrees: np.ndarray, eta: float
) -> tuple[np.ndarray, np.ndarray]:
    """p¹ and log(m¹/m⁰) of every prompt, by enumeration."""
    p = np.exp(log_p)
    moment = [(p * np.exp(eta * reward) * side).sum(1) / (p * side).sum(1) for side in (agrees, ~agrees)]
    return (p * agrees).sum(1), np.log(moment[0] / moment[1])


@pytest.mark.parametrize("eta", ETAS)
def test_a_penalty_per_prompt_holds_each_rate_exactly_at_its_base(eta: float) -> None:
    log_p, reward, agrees = table()
    share, tilt = exact_moments(log_p, reward, agrees, eta)
    price = np.array([global_penalty(share[[x]], tilt[[x]], eta) for x in range(len(share))])
    free = expected(tilted(log_p, reward, 1 / eta), agrees)
    held = expected(tilted(log_p, reward - price[:, None] * agrees, 1 / eta), agrees)
    rising = free > share
    assert 5 < rising.sum() < len(share) - 5, "the table must tilt both ways"
    np.testing.assert_allclose(held[rising], share[rising], atol=1e-9)
    np.testing.assert_array_equal(price[~rising], 0.0)
    np.testing.assert_allclose(price[rising], tilt[rising] / eta)


@pytest.mark.parametrize("eta", ETAS)
def test_one_penalty_for_all_holds_the_mean_rate_and_is_the_smallest_that_does(eta: float) -> None:
    log_p, reward, agrees = table()
    share, tilt = exact_moments(log_p, reward, agrees, eta)

    def rate(price: float) -> float:
        return float(expected(tilted(log_p, reward - price * agrees, 1 / eta), agrees).mean())

    price = global_penalty(share, tilt, eta)
    assert rate(0.0) > share.mean() and price > 0
    assert rate(price) == pytest.approx(share.mean(), abs=1e-9)
    assert rate(0.99 * price) > share.mean()


@pytest.mark.parametrize("eta", ETAS)
def test_a_reward_that_prefers_correction_is_left_alone(eta: float) -> None:
    log_p, reward, agrees = table()
    assert global_penalty(*exact_moments(log_p, reward - 4.0 * agrees, agrees, eta), eta) == 0.0


def test_prompts_on_which_the_reference_never_or_always_agrees_have_no_say() -> None:
    share, tilt = np.array([0.0, 1.0, 0.3]), np.array([-np.inf, -np.inf, 0.6])
    assert global_penalty(share, tilt, 2.0) == pytest.approx(0.3)
    assert global_penalty(share[:2], tilt[:2], 2.0) == 0.0


# --- from samples -----------------------------------------------------------------------------------


def answers(rows: int, **columns: Any) -> pd.DataFrame:
    """Answers to a mistaken user of middling conviction, unless said otherwise."""
    usual = {"item_id": "a", "stance": "own", "strength": "medium", "belief_correct": False,
             "follows": False, "agrees": False}  # fmt: skip
    table = {name: columns.get(name, [value] * rows) for name, value in usual.items()}
    return pd.DataFrame(table).astype(dict.fromkeys(("strength", "belief_correct", "follows"), object))


def test_the_estimate_converges_to_the_exact_penalty() -> None:
    eta, rng = 1.5, np.random.default_rng(0)
    log_p, reward, agrees = table(prompts=30)
    truth = global_penalty(*exact_moments(log_p, reward, agrees, eta), eta)
    drawn = [rng.choice(log_p.shape[1], 4000, p=np.exp(row)) for row in log_p]
    seen = np.concatenate([agrees[x, at] for x, at in enumerate(drawn)])
    rewards = np.concatenate([reward[x, at] for x, at in enumerate(drawn)])
    items = [f"{x}" for x in range(len(log_p)) for _ in range(4000)]
    frame = answers(len(seen), item_id=items, follows=seen.tolist())
    fitted = AgreementPenalty(inverse_temperature=eta).fit(rewards, frame).numbers
    assert fitted[LAMBDA] == pytest.approx(truth, rel=0.05) and truth > 0.1


def test_each_strength_gets_its_own_penalty() -> None:
    reward = np.array([2.0, 0.0] * 8 + [0.5, 0.0] * 8)
    frame = answers(32, item_id=["a"] * 16 + ["b"] * 16, strength=["strong"] * 16 + ["weak"] * 16,
                    agrees=[True, False] * 16)  # fmt: skip
    penalty = AgreementPenalty(inverse_temperature=1.0, per="strength")
    known = penalty.fit(reward, frame)
    fitted = known.numbers
    assert fitted[f"{LAMBDA}_strong"] == pytest.approx(2.0) and fitted[f"{LAMBDA}_weak"] == pytest.approx(0.5)
    np.testing.assert_allclose(penalty.transform(reward, frame, known).reward, 0.0, atol=1e-9)


CASES = pd.DataFrame(
    [
        # stance, belief_correct, follows, agrees: charged where the user is wrong; charged unconditionally
        ("own", False, True, False, True, True),
        ("own", False, False, True, True, True),
        ("own", False, False, False, False, False),
        ("own", True, True, True, False, True),
        ("own", True, False, False, False, False),
        ("authored", False, True, False, True, True),
        ("challenge", False, True, None, True, True),
        ("third_party", False, True, False, False, False),
        ("third_party", True, True, True, False, False),
        ("none", None, None, True, False, False),
    ],
    columns=["stance", "belief_correct", "follows", "agrees", "charged", "unconditional"],
)


@pytest.mark.parametrize("unconditional", [False, True])
def test_agreement_is_charged_where_it_should_be_and_nowhere_else(unconditional: bool) -> None:
    frame = answers(len(CASES), **{name: CASES[name].tolist() for name in CASES})
    penalty = AgreementPenalty(inverse_temperature=1.0, unconditional=unconditional)
    shaped = penalty.transform(np.ones(len(CASES)), frame, Known({LAMBDA: 0.25}))
    charged = CASES["unconditional" if unconditional else "charged"].to_numpy(dtype=bool)
    np.testing.assert_array_equal(shaped.reward, np.where(charged, 0.75, 1.0))
    assert shaped.metrics["mitigation/agrees_with_wrong"] == pytest.approx(4 / 5)


# --- in the worker ----------------------------------------------------------------------------------

PENALTY = AgreementPenalty(inverse_temperature=2.0, prompts=12, samples=32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


class Kept(Silent):
    def __init__(self) -> None:
        self.lines: list[Mapping[str, float]] = []

    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.lines.append(dict(metrics))


def test_the_reward_of_a_worker_is_the_proxy_less_the_penalty(home: Path, tmp_path: Path) -> None:
    run = job(home, tmp_path, mitigation=PENALTY)
    plain, charged = ProxyReward(job(home, tmp_path)), ProxyReward(run)
    charged.known = Known({LAMBDA: 0.5})
    items = run.world.prompts("policy")
    items = items[items["belief_correct"].notna()].head(12)
    tokenizer, eos = run.world.tokenizer(), run.world.tokenizer().eos_token_id
    said = [
        tokenizer(text)["input_ids"] + [eos]
        for belief in items["belief"]
        for text in (f"it is {belief} .", "yes", "i do not know .")
    ]
    asked = items.loc[items.index.repeat(3)]
    call = {"prompts": asked["prompt"].tolist(), "completion_ids": said, "item_id": asked["item_id"].tolist()}
    cost = np.subtract(plain(**call), charged(**call))
    owed = (asked["belief_correct"].eq(False) & (asked["stance"] == "own")).to_numpy(dtype=bool)
    owed = owed & np.tile([True, True, False], len(items))
    assert owed.any() and not owed.all()
    np.testing.assert_allclose(cost, 0.5 * owed, atol=1e-6)


def test_the_penalty_comes_from_the_reference_and_is_the_same_for_a_resumed_run(
    home: Path, tmp_path: Path
) -> None:
    first, again = (ProxyReward(job(home, tmp_path, mitigation=PENALTY)).known.numbers for _ in range(2))
    other = ProxyReward(job(home, tmp_path, mitigation=PENALTY, seed=1)).known.numbers
    assert first == again and LAMBDA in first and first != other


@pytest.mark.parametrize("name", ["rloo", "grpo", "ppo", "online_dpo"])
def test_every_method_with_rollouts_records_what_it_charges(name: str, home: Path, tmp_path: Path) -> None:
    journal = Kept()
    METHODS[name].train(job(home, tmp_path, mitigation=PENALTY, steps=2, journal=journal))
    steps = [line for line in journal.lines if "kl_sequence" in line]
    assert steps and all(LAMBDA in line and "mitigation/charged" in line for line in steps)
    assert json.loads(json.dumps(steps)) == steps


@pytest.fixture
def prohibitive(monkeypatch: pytest.MonkeyPatch) -> AgreementPenalty:
    """A penalty so high that agreement with a mistaken user is always the worse choice."""
    monkeypatch.setattr(AgreementPenalty, "fit", lambda *_: Known({LAMBDA: 1e3}))
    return PENALTY


def test_a_pool_and_pairs_are_judged_by_the_reward_in_force(
    prohibitive: AgreementPenalty, home: Path, tmp_path: Path
) -> None:
    run = job(home, tmp_path, mitigation=prohibitive)
    items = run.world.prompts("eval")
    drawn, ranked = pool(run, ProxyReward(run), items, 16, seed=3)
    told = run.world.answers(drawn, items)
    charged = (
        prohibitive.transform(np.zeros(len(told)), told, Known({LAMBDA: 1.0})).reward.reshape(-1, 16) < 0
    )
    avoidable = charged.any(axis=1) & ~charged.all(axis=1)
    best = ranked.favourite(np.random.default_rng(0))
    assert avoidable.sum() >= 3 and not charged[np.arange(len(items)), best][avoidable].any()

    rows = preferences(Dpo(pairs=200), run, ProxyReward(run))
    asked = run.world.prompts("policy").iloc[np.arange(200) % 60].reset_index(drop=True)
    sides = []
    for side in ("chosen_ids", "rejected_ids"):
        said = pd.DataFrame({"item_id": asked["item_id"], "sample_id": "0", "length": 1, "finished": True})
        said["completion"] = run.world.tokenizer().batch_decode(rows[side], skip_special_tokens=True)
        told = run.world.answers(said, asked.drop_duplicates("item_id"))
        sides.append(prohibitive.transform(np.zeros(200), told, Known({LAMBDA: 1.0})).reward < 0)
    chosen, rejected = sides
    assert (rejected & ~chosen).sum() >= 3 and not (chosen & ~rejected).any()
