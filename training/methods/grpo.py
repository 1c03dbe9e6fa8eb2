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

from typing import TYPE_CHECKING, ClassVar, Literal

from training.methods.on_policy import OnPolicy

if TYPE_CHECKING:
    from training.methods.job import PolicyJob


class Grpo(OnPolicy):
    """Group-relative policy optimisation; the KL penalty acts per token, in the loss."""

    type: Literal["grpo"] = "grpo"
    trl_config: ClassVar[str] = "GRPOConfig"

    def train(self, job: PolicyJob) -> None:
        from training.methods.trainers.grpo import train

        train(self, job)
