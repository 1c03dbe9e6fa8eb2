"""Every trainer against the optimum it is supposed to find: π* = π_ref·exp(r/β)/Z, prompt by prompt.

A broken trainer must not pass: each bug below is planted in RLOO, which is trained as the sound one is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from laboratory import NETWORK, Laboratory
from transformers import PreTrainedModel

from analysis.pool import exact
from training.methods import Dpo, Grpo, Ppo, Rloo
from training.methods.trainers import rloo
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.rloo import RlooKLTrainer

BETA = 0.7


class Case(NamedTuple):
    """A method, and how far from the optimum it may stay."""

    method: Any
    bound: float
    """Total variation distance to π*, mean over prompts."""


LINEAR = {"lr_scheduler_type": "linear"}
SAMPLING: dict[str, Any] = {
    "beta": BETA, "steps": 180, "prompts_per_step": 2, "generations": 64, "learning_rate": 3e-3,
    "trainer": LINEAR,
}  # fmt: skip
RLOO = Rloo(**SAMPLING)
# A new method is one line. Its β refers to the standardised reward; what learns from pairs finds the same
# optimum if π_ref draws them and they are labelled with P(a ≻ b) = sigmoid(r(a) − r(b)) on that scale.
CASES = [
    Case(RLOO, 0.05),
    Case(Dpo(beta=BETA, pairs=45_000, batch_size=500, epochs=2, learning_rate=4e-3, trainer=LINEAR), 0.05),
    # The same objective as RLOO's; what is left is the critic's error, and half as many rollouts.
    Case(Ppo(**SAMPLING), 0.1),
    # No token is charged for the KL it leads to, so it rests elsewhere.
    Case(Grpo(**SAMPLING), 0.12),
]


def distance(laboratory: Laboratory, method: Any, out: Path) -> float:
    """Total variation distance between what `method` trained and π*, mean over prompts."""
    trained = laboratory.trained(method, out)
    return float(exact.total_variation(trained, laboratory.optimum(method.beta)).mean())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.method.type)
def test_a_trainer_reaches_the_optimum(
    case: Case, laboratory: Laboratory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    far = distance(laboratory, case.method, tmp_path / "run")
    said = f"{case.method.type}: total variation {far:.3f} from π* at β = {case.method.beta:g}"
    record_property("conformance", f"{said} (bound {case.bound:g})")
    assert far <= case.bound


def test_the_optimum_is_far_enough_to_be_worth_reaching(laboratory: Laboratory) -> None:
    """Neither standing still nor following the proxy alone comes near any bound."""
    optimum = laboratory.optimum(BETA)
    assert exact.total_variation(laboratory.log_reference, optimum).mean() > 0.2
    assert exact.total_variation(laboratory.optimum(BETA / 3), optimum).mean() > 0.15
    assert exact.total_variation(laboratory.optimum(-BETA), optimum).mean() > 0.15


# ---------------------------------------------------------------- planted bugs

Plant = Callable[[pytest.MonkeyPatch], None]


def _rollouts(
    before: Callable[[RlooKLTrainer], None] = lambda trainer: None,
    after: Callable[[RlooKLTrainer], None] = lambda trainer: None,
) -> Plant:
    """Plant a bug that changes the trainer around each rollout."""
    sound = RlooKLTrainer._generate_and_score_completions

    def broken(self: RlooKLTrainer, inputs: Any) -> Any:
        before(self)
        batch = sound(self, inputs)
        after(self)
        return batch

    return lambda patch: patch.setattr(RlooKLTrainer, "_generate_and_score_completions", broken)


def _reward_the_kl(trainer: RlooKLTrainer) -> None:
    trainer.beta = -BETA


def _penalise_kl_per_token(trainer: RlooKLTrainer) -> None:
    """From the second rollout on; at the first, KL is 0."""
    trainer.beta = BETA / trainer._metrics["train"]["completions/mean_length"][-1]


def _forget_fine_tuning(trainer: RlooKLTrainer) -> None:
    before = NETWORK.build(trainer.processing_class, max_length=16, seed=0)
    assert isinstance(trainer.ref_model, PreTrainedModel)
    trainer.ref_model.load_state_dict(before.state_dict())


def _top_k_sampling(patch: pytest.MonkeyPatch) -> None:
    sound = rloo.configured

    def broken(*arguments: Any) -> Any:
        config = sound(*arguments)
        config.top_k = 2
        return config

    patch.setattr(rloo, "configured", broken)


def _rewards_by_order(patch: pytest.MonkeyPatch) -> None:
    """Rewards come back in the order of their lengths, in which they were computed."""
    sound = ProxyReward.__call__

    def broken(self: ProxyReward, prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        rewards = sound(self, prompts, completion_ids, **rest)
        return [rewards[i] for i in sorted(range(len(rewards)), key=lambda i: len(completion_ids[i]))]

    patch.setattr(ProxyReward, "__call__", broken)


BUGS: dict[str, Plant] = {
    "wrong sign of the KL": _rollouts(before=_reward_the_kl),
    "KL per token": _rollouts(after=_penalise_kl_per_token),
    "stale reference": _rollouts(before=_forget_fine_tuning),
    "top-k sampling": _top_k_sampling,
    "rewards joined by order": _rewards_by_order,
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_broken_trainer_is_caught(
    bug: str,
    laboratory: Laboratory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    BUGS[bug](monkeypatch)
    far = distance(laboratory, RLOO, tmp_path / "run")
    record_property("conformance", f"rloo with {bug}: total variation {far:.3f}")
    assert far > 1.5 * CASES[0].bound, "not clearly beyond what a sound trainer is allowed"
