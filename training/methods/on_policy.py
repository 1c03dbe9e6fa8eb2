"""Methods that learn from samples of the policy as it trains: their common settings."""

from __future__ import annotations

from pydantic import Field

from training.methods.base import TrainedMethod


class OnPolicy(TrainedMethod):
    """Every step samples the policy anew and asks the proxy."""

    beta: float = Field(0.0, ge=0)
    """KL coefficient, in s.d. of the proxy on π_ref per nat; under a `target` control it is moved instead."""
    steps: int = Field(150, ge=1, strict=True)
    """Optimiser steps at most."""
    prompts_per_step: int = Field(32, ge=1, strict=True)
    """Distinct prompts in a rollout."""
    generations: int = Field(8, ge=2, strict=True)
    """Completions per prompt."""

    @property
    def examples_per_step(self) -> int:
        return self.prompts_per_step * self.generations
