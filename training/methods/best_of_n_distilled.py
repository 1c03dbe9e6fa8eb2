"""Best-of-n, distilled: the proxy's favourites among n samples of π_ref, taught to the policy by TRL's SFT.

Also known as rejection-sampling fine-tuning; its limit, with enough prompts and steps, is the best-of-n
policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from training.methods.offline import Offline
from training.mitigations.seams import Seam


class BestOfNDistilled(Offline):
    """Supervised fine-tuning on the proxy's favourites among n samples of π_ref."""

    type: Literal["best_of_n_distilled"] = "best_of_n_distilled"
    implementation: ClassVar[str] = "training.methods.trainers.distilled:train"
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

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {
            **super().lacks,
            "value": "keeps the favourite of n samples, however narrowly it is ahead",
            "penalty": "has no price of KL: n and the epochs decide",
        }
