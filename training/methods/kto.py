"""Kahneman–Tversky optimisation through trl.KTOTrainer (Ethayarajh et al. 2024, arXiv 2402.01306).

It learns from single completions, each desirable or not: of every labelled pair the chosen one is, the
rejected one is not. TRL's "KL" in its loss is a baseline from mismatched prompts and completions, and no
measurement of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from training.methods.offline import Preferences

if TYPE_CHECKING:
    from training.methods.job import PolicyJob


class Kto(Preferences):
    """Kahneman–Tversky optimisation: desirable and undesirable completions, unpaired."""

    type: Literal["kto"] = "kto"
    trl_config: ClassVar[str] = "KTOConfig"

    @property
    def examples(self) -> int:
        return 2 * self.pairs

    def train(self, job: PolicyJob) -> None:
        from training.methods.trainers.offline import train_kto

        train_kto(self, job)
