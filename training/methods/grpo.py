"""Group-relative policy optimisation through trl.GRPOTrainer, set so that its β means something.

Shao et al. 2024 (arXiv 2402.03300), with the corrections of Liu et al. 2025 (arXiv 2503.20783): advantages
are not divided by the group's spread and the loss is not divided by a completion's own length, so the
exchange rate between reward and KL stays what β says.

It still differs from RLOO. There the whole sequence's log-ratio is part of the reward, and a token is
charged for the KL that it leads to later. Here the penalty is a term of the loss at each token: its gradient
is that of the KL between next-token laws at the prefixes that were sampled, and no token is charged for the
KL of those that follow. So at equal β it rests at another policy than π_ref·exp(r/β)/Z (tests/conformance
says how far), and methods are to be compared at equal KL, never at equal β. The baseline is the group's mean
including the sample itself, which shrinks the gradient by (G − 1)/G and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from training.methods.on_policy import OnPolicy
from training.mitigations.seams import Seam


class Grpo(OnPolicy):
    """Group-relative policy optimisation; the KL penalty acts per token, in the loss."""

    type: Literal["grpo"] = "grpo"
    implementation: ClassVar[str] = "training.methods.trainers.grpo:train"
    trl_config: ClassVar[str] = "GRPOConfig"

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {"penalty": "pays for KL token by token in TRL's own loss"}
