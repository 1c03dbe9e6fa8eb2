"""The part of RLOO that needs TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trl import RLOOConfig, RLOOTrainer

from training.methods.job import PolicyJob
from training.methods.rloo import Rloo
from training.methods.trainers.parts import Steered
from training.methods.trainers.training_run import group_arguments, train_groups


class RlooKLTrainer(Steered, RLOOTrainer):
    """RLOOTrainer that notes the KL of each rollout.

    TRL logs KL per token; times the mean length of the same rollout it is the k1 estimate per sequence.
    """

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        metrics = self._metrics["train"]
        self.rolled_out(metrics["kl"][-1] * metrics["completions/mean_length"][-1])
        return batch


def configured(method: Rloo, job: PolicyJob, folder: Path) -> RLOOConfig:
    """TRL's settings of a run."""
    return RLOOConfig(**group_arguments(method, job, folder, normalize_advantages=False))


def train(method: Rloo, job: PolicyJob) -> None:
    """Train one policy by RLOO; see `Rloo.train`."""
    train_groups(method, job, RlooKLTrainer, configured(method, job, job.out / "checkpoints"))
