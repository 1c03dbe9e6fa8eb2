"""REINFORCE leave-one-out through trl.RLOOTrainer: the exact gradient of E[R] − β·KL(π‖π_ref) per sequence.

Ahmadian et al. 2024 (arXiv 2402.14740). With one optimiser step per rollout, no advantage normalisation and
the k1 log-ratio summed over the sequence inside the reward, the objective stays fixed while β does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from reward_models import trl_arguments
from reward_models.component import Component

if TYPE_CHECKING:
    from training.methods.job import PolicyJob


class Rloo(Component):
    """REINFORCE with a leave-one-out baseline; the KL penalty is part of the reward (the base method)."""

    type: Literal["rloo"] = "rloo"
    beta: float = Field(0.0, ge=0)
    """KL coefficient, in s.d. of the proxy on π_ref per nat; under a `target` control it is moved instead."""
    steps: int = Field(150, ge=1, strict=True)
    """Optimiser steps at most; one rollout each."""
    prompts_per_step: int = Field(32, ge=1, strict=True)
    """Distinct prompts in a rollout."""
    generations: int = Field(8, ge=2, strict=True)
    """Completions per prompt, each the others' baseline."""
    learning_rate: float = Field(2e-4, gt=0)
    """Constant AdamW step size; it sets how fast a path runs through KL."""
    checkpoint_every: int = Field(0, ge=0, strict=True)
    """Steps between resumable checkpoints of a run; 0 keeps none, and a killed run starts anew."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of trl.RLOOConfig under TRL's own names."""

    @field_validator("trainer")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        trl_arguments.check(value, "RLOOConfig")
        return value

    def problems(self) -> list[str]:
        """Combinations that cannot work, each with its reason."""
        accumulation = self.trainer.get("gradient_accumulation_steps", 1)
        if self.prompts_per_step * self.generations % accumulation:
            return [
                f"policy.prompts_per_step x policy.generations = {self.prompts_per_step * self.generations} "
                f"is not divisible by policy.trainer.gradient_accumulation_steps = {accumulation}"
            ]
        return []

    def train(self, job: PolicyJob) -> None:
        """Train one policy; leaves points, metrics.jsonl and the final weights under `job.out`."""
        from training.methods.rloo_trainer import train

        train(self, job)
