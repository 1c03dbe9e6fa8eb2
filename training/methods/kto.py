"""Kahneman–Tversky optimisation through trl.KTOTrainer (Ethayarajh et al. 2024, arXiv 2402.01306).

It learns from single completions, each desirable or not: of every labelled pair the chosen one is, the
rejected one is not. TRL's "KL" in its loss is a baseline from mismatched prompts and completions, and no
measurement of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from training.methods.offline import Preferences
from training.mitigations.seams import Seam


class Kto(Preferences):
    """Kahneman–Tversky optimisation: desirable and undesirable completions, unpaired."""

    type: Literal["kto"] = "kto"
    implementation: ClassVar[str] = "training.methods.trainers.offline:train_kto"
    trl_config: ClassVar[str] = "KTOConfig"

    @property
    def examples(self) -> int:
        return 2 * self.pairs

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {**super().lacks, "penalty": "has its price of KL inside TRL's own loss"}
