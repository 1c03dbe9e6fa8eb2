"""Best-of-n, distilled: the proxy's favourites among n samples of π_ref, taught to the policy by TRL's SFT.

Also known as rejection-sampling fine-tuning; its limit, with enough prompts and steps, is the best-of-n
policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from training.methods.offline import Offline

if TYPE_CHECKING:
    from training.methods.job import PolicyJob


class BestOfNDistilled(Offline):
    """Supervised fine-tuning on the proxy's favourites among n samples of π_ref."""

    type: Literal["best_of_n_distilled"] = "best_of_n_distilled"
    trl_config: ClassVar[str] = "SFTConfig"
    refused_controls: ClassVar[dict[str, str]] = Offline.refused_controls | {
        "penalty": "it has no β; n and the epochs decide how much KL is spent"
    }
    n: int = Field(16, ge=2, strict=True)
    """Samples per prompt, of which the favourite is kept."""
    prompts: int = Field(2000, ge=1, strict=True)
    """Prompts with a favourite."""

    @property
    def examples(self) -> int:
        return self.prompts

    def train(self, job: PolicyJob) -> None:
        from training.methods.trainers.distilled import train

        train(self, job)
