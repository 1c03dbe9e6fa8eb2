"""Policies trained for a few steps by the real trainer, with every rollout written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from drawn_worlds import opened
from tiny import PAD, build_world, language_model, save_reward_model
from transformers import PreTrainedModel

from reward_models.reward import RewardModel
from training.methods import (
    BestOfN,
    BestOfNDistilled,
    Dpo,
    Grpo,
    Kto,
    OnlineDpo,
    Ppo,
    Rloo,
    kl_control,
)
from training.methods.base import Method
from training.methods.job import PolicyJob
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.rloo import RlooKLTrainer
from training.sampling import kl
from training.sampling.sample import load_policy

STEPS, PROMPTS, GENERATIONS = 3, 4, 4


def make_home(home: Path, eval_items: int = 4) -> Path:
    """A world, a reference policy with its tokenizer, and a proxy."""
    world = build_world(home / "world", eval_items)
    size = len(world.tokenizer())
    language_model(size, seed=0, spread=0.05).save_pretrained(home / "reference")
    world.tokenizer().save_pretrained(home / "reference")
    save_reward_model(home / "proxy", size, seed=1)
    return home


def job(home: Path, out: Path, **changes: Any) -> PolicyJob:
    out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "out": out,
        "world": opened(home / "world"),
        "reference": home / "reference",
        "proxy": partial(RewardModel.load, home / "proxy"),
        "labels": None,
        "mitigation": None,
        "control": kl_control.Penalty(points=1),
        "budget": None,
        "steps": STEPS,
        "seed": 0,
        "observe_seed": 0,
        "batch_size": 64,
        "measure": False,
        "journal": Silent(),
    }
    return PolicyJob(**settings | changes)


class Silent:
    def keep_until(self, step: int) -> None: ...
    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


def method(**changes: Any) -> Rloo:
    settings = {
        "beta": 0.3,
        "learning_rate": 3e-2,
        "prompts_per_step": PROMPTS,
        "generations": GENERATIONS,
        "steps": STEPS,
    }
    return Rloo(**settings | changes)


_FAST: dict[str, Any] = {"learning_rate": 1e-2}
_GROUPS: dict[str, Any] = {"prompts_per_step": PROMPTS, "generations": GENERATIONS, "beta": 0.05, **_FAST}
_PAIRS: dict[str, Any] = {"pairs": 32, "batch_size": 8, **_FAST}
METHODS: Mapping[str, Method] = {
    each.type: each
    for each in (
        Rloo(**_GROUPS),
        Grpo(**_GROUPS),
        Ppo(**_GROUPS),
        Dpo(**_PAIRS),
        Kto(**_PAIRS),
        OnlineDpo(prompts_per_step=8, **_FAST),
        BestOfN(samples=16),
        BestOfNDistilled(n=4, prompts=32, batch_size=8, **_FAST),
    )
}
"""Every method, at a size at which a step takes a fraction of a second."""


@dataclass
class Rollout:
    """One rollout as TRL made it, and what we make of it ourselves, with the weights of that moment."""

    prompts: list[str]
    rewarded: list[list[int]]
    """completion_ids as the reward function got them."""
    rewards: list[float]
    batch: dict[str, torch.Tensor]
    beta: float
    kl_token: float
    mean_length: float
    own: kl.SequenceKL


@dataclass
class Spied:
    trainer: RlooKLTrainer
    rollouts: list[Rollout] = field(default_factory=list)


def spy(patch: pytest.MonkeyPatch, run: Callable[[], None], reference: Path) -> Spied:
    """Train, writing down every rollout, by hooks around the hooks of the code itself."""
    spied: list[Spied] = []
    calls: list[tuple[list[str], list[list[int]], list[float]]] = []
    reward, generate = ProxyReward.__call__, RlooKLTrainer._generate_and_score_completions

    def rewarded(self: ProxyReward, prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        values = reward(self, prompts, completion_ids, **rest)
        calls.append((prompts, completion_ids, values))
        return values

    def generated(self: RlooKLTrainer, inputs: Any) -> Any:
        spied[:] = spied or [Spied(self)]
        beta = self.beta
        batch = generate(self, inputs)
        prompts, ids, values = calls[-1]
        metrics = self._metrics["train"]
        prompt_ids = [
            row[mask.bool()].tolist()
            for row, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)
        ]
        own = kl.measure(cast(PreTrainedModel, self.model), load_policy(reference), prompt_ids, ids, PAD)
        length = metrics["completions/mean_length"][-1]
        spied[0].rollouts.append(Rollout(prompts, ids, values, batch, beta, metrics["kl"][-1], length, own))
        return batch

    with patch.context() as context:
        context.setattr(ProxyReward, "__call__", rewarded)
        context.setattr(RlooKLTrainer, "_generate_and_score_completions", generated)
        run()
    return spied[0]
