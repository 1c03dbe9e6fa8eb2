"""The part of online DPO that needs TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

from reward_models import trl_arguments
from reward_models.callbacks import require_finite
from training.methods.job import PolicyJob
from training.methods.online_dpo import OnlineDpo
from training.methods.trainers.parts import Resumable
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.training_run import Run, arguments, prompts


class OnlineDpoKLTrainer(Resumable, OnlineDPOTrainer):
    """OnlineDPOTrainer that notes the KL of each rollout and lets the proxy read whole completions.

    TRL's own `objective/kl` sums over the padding behind EOS as well; the implicit rewards it logs are
    β·(log π − log π_ref) over the completions alone.
    """

    @property
    def rollout_kl(self) -> float:
        return self._rollout_kl

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        # Emptied at every log, and so after every step: these are the parts of one rollout.
        chosen, rejected = self.stats["rewards/chosen"], self.stats["rewards/rejected"]
        self._rollout_kl = sum(chosen + rejected) / (2 * len(chosen) * self.beta)
        reward = self.stats["objective/scores"][-1]
        require_finite("The policy", self.state.global_step, {"KL": self._rollout_kl, "reward": reward})
        proxy = cast(ProxyReward, self.reward_funcs[0])
        own = {"kl_sequence": self._rollout_kl, **proxy.metrics}
        for name, value in own.items():
            self.stats.setdefault(name, []).append(value)
        return loss

    def _calculate_rewards_from_functions(
        self, prompts: Any, completions: Any, completion_ids_list: list[list[int]], **kwargs: Any
    ) -> torch.Tensor:
        """TRL hands over rows padded behind EOS; the proxy reads what was sampled."""
        eos = cast(PreTrainedTokenizerBase, self.processing_class).eos_token_id
        sampled = [ids[: ids.index(eos) + 1] if eos in ids else ids for ids in completion_ids_list]
        rewards: torch.Tensor = super()._calculate_rewards_from_functions(
            prompts, completions, sampled, **kwargs
        )
        return rewards


def configured(method: OnlineDpo, job: PolicyJob, folder: Path) -> OnlineDPOConfig:
    """TRL's settings of a run."""
    return OnlineDPOConfig(
        **arguments(
            method,
            job,
            folder,
            **trl_arguments.SAMPLING,
            beta=method.beta,
            loss_type=method.loss,
            max_new_tokens=job.world.max_completion_tokens,
            max_length=job.world.max_length,
            missing_eos_penalty=None,
            disable_dropout=True,
            train_sampling_strategy="sequential",
        )
    )


def train(method: OnlineDpo, job: PolicyJob) -> None:
    """Train one policy by online DPO; see `OnlineDpo.train`."""
    run = Run(job)
    run.train(
        OnlineDpoKLTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                job.reference, trust_remote_code=False, dtype=torch.float32
            ),
            reward_funcs=run.reward,
            args=configured(method, job, run.checkpoints),
            train_dataset=prompts(job, method.prompts_per_step),
            **run.parts(),
        )
    )
