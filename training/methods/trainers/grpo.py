"""The part of GRPO that needs TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer

from training.methods.job import PolicyJob
from training.methods.on_policy import OnPolicy
from training.methods.trainers.parts import Steered
from training.methods.trainers.training_run import group_arguments, train_groups


class GrpoKLTrainer(Steered, GRPOTrainer):
    """GRPOTrainer that notes the KL of each rollout.

    TRL computes no log-probabilities at the rollout where it can do without; the KL needs them.
    """

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        if batch.get("old_per_token_logps") is None:
            batch["old_per_token_logps"] = self._rollout_logps(batch)
        ratio = batch["old_per_token_logps"] - batch["ref_per_token_logps"]
        self.rolled_out((ratio * batch["completion_mask"]).sum(-1).mean().item())
        return batch

    @torch.no_grad()
    def _rollout_logps(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """log π of every completion token of a rollout: (B, T)."""
        logps, _, _ = self._get_per_token_logps_and_entropies(
            self.model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].size(1),
            batch_size=self.args.per_device_train_batch_size,
        )
        return torch.as_tensor(logps)


def configured(method: OnPolicy, job: PolicyJob, folder: Path, **own: Any) -> GRPOConfig:
    """TRL's settings of a run; see `grpo` for why these two."""
    settings = {"scale_rewards": "none", "loss_type": "dr_grpo", **own}
    return GRPOConfig(**group_arguments(method, job, folder, **settings))


def train(method: OnPolicy, job: PolicyJob) -> None:
    """Train one policy by GRPO; see `Grpo.train`."""
    train_groups(method, job, GrpoKLTrainer, configured(method, job, job.out / "checkpoints"))
