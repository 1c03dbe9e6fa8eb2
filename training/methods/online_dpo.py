"""Online DPO through TRL's experimental trainer: two fresh completions per prompt, the proxy's favourite is
chosen.

Guo et al. 2024 (arXiv 2402.04792). β is the sharpness of the preference loss and not a price of KL: labels
are the proxy's verdicts without noise, under which no β keeps the policy near π_ref for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from training.methods.base import TrainedMethod
from training.mitigations.seams import Seam


class OnlineDpo(TrainedMethod):
    """DPO on pairs that the policy samples as it trains and the proxy judges."""

    type: Literal["online_dpo"] = "online_dpo"
    implementation: ClassVar[str] = "training.methods.trainers.online_dpo:train"
    trl_config: ClassVar[str] = "experimental.online_dpo.OnlineDPOConfig"
    trl_fields: ClassVar[frozenset[str]] = frozenset({"loss_type"})
    refused_controls: ClassVar[dict[str, str]] = {
        "target": "its β is the sharpness of a loss, not a price of KL that a controller could move"
    }
    beta: float = Field(0.1, gt=0)
    """Sharpness of the loss, per nat of log-ratio."""
    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """DPO's logistic loss, or IPO's square."""
    steps: int = Field(150, ge=1, strict=True)
    """Optimiser steps at most; one rollout each."""
    prompts_per_step: int = Field(128, ge=1, strict=True)
    """Distinct prompts in a rollout, two completions each."""

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {
            "value": "reads only which of two completions is rewarded more, not by how much",
            "screen": "has a loss for every pair that it samples",
            "penalty": "has no price of KL: its β is the sharpness of the loss",
            "control": "has no price of KL that could be moved",
        }

    @property
    def examples_per_step(self) -> int:
        return self.prompts_per_step
