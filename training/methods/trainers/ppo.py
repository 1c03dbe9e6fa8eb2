"""The part of PPO that needs torch: a critic, and its advantages in place of the group's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForTokenClassification, PreTrainedModel, TrainerCallback

from training.methods.job import PolicyJob
from training.methods.ppo import Ppo
from training.methods.trainers import grpo
from training.methods.trainers.grpo import GrpoKLTrainer
from training.methods.trainers.parts import SMALLEST_BETA
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.training_run import train_groups
from training.streams import stream

CRITIC = "critic"


def advantages(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gae_lambda: float
) -> torch.Tensor:
    """Generalised advantage estimates without discount (Schulman et al. 2015, arXiv 1506.02438, eq. 16).

    Args:
        rewards: (B, T), the reward of each completion token.
        values: (B, T), the critic's value of the prefix before each token.
        mask: (B, T), 1 for completion tokens including EOS.
    """
    values = values * mask
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    surprise = (rewards + after - values) * mask
    gathered = torch.zeros_like(surprise)
    running = torch.zeros_like(surprise[:, 0])
    for t in reversed(range(surprise.size(1))):
        running = surprise[:, t] + gae_lambda * running
        gathered[:, t] = running
    return gathered * mask


def build_critic(reference: Path, seed: int) -> PreTrainedModel:
    """π_ref's network with a scalar head for each token, and no dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic: PreTrainedModel = AutoModelForTokenClassification.from_pretrained(
            reference, num_labels=1, trust_remote_code=False, dtype=torch.float32
        )
    return critic.eval()


class PpoTrainer(GrpoKLTrainer):
    """GRPOTrainer with a critic: token-wise advantages of proxy reward and KL penalty.

    TRL's own `beta` stays at its floor, as the penalty is in the reward here.
    """

    def __init__(
        self,
        *args: Any,
        critic: PreTrainedModel,
        settings: Ppo,
        callbacks: list[TrainerCallback],
        **kwargs: Any,
    ) -> None:
        self._coefficient = settings.beta
        super().__init__(*args, callbacks=[*callbacks, _FreshGradients(critic)], **kwargs)
        self.critic = critic.to(self.accelerator.device)
        self.settings = settings
        self.proxy: ProxyReward = kwargs["reward_funcs"]

    @property
    def coefficient(self) -> float:
        return self._coefficient

    @coefficient.setter
    def coefficient(self, value: float) -> None:
        self._coefficient = value

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = super().create_optimizer(*args, **kwargs)
        optimizer.add_param_group(
            {
                "params": list(self.critic.parameters()),
                "lr": self.settings.critic_learning_rate,
                "weight_decay": 0.0,
            }
        )
        return optimizer

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        coefficient = self.coefficient  # the controller moves it once the rollout's KL is known
        batch = super()._generate_and_score_completions(inputs)
        mask = batch["completion_mask"].float()
        ratio = batch["old_per_token_logps"] - batch["ref_per_token_logps"]
        rewards = -coefficient * ratio * mask
        last = mask.sum(-1).long() - 1
        rewards[torch.arange(len(last)), last] += torch.tensor(self.proxy.latest).to(rewards)
        with torch.no_grad():
            values = self._values(batch)
        batch["advantages"] = advantages(rewards, values, mask, self.settings.gae_lambda)
        batch["returns"] = (batch["advantages"] + values) * mask
        self._metrics["train"]["critic/explained"].append(_explained(batch["returns"], values, mask))
        return batch

    def _values(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The critic's value of the prefix before each completion token: (B, T)."""
        length = batch["completion_ids"].size(1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
        logits = self.critic(
            input_ids=torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        ).logits[..., 0]
        return torch.as_tensor(logits[:, -length - 1 : -1])

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        mask = inputs["completion_mask"].float()
        error = ((self._values(inputs) - inputs["returns"]) ** 2 * mask).sum() / mask.sum()
        self._metrics["train"]["critic/loss"].append(error.item())
        return loss + 0.5 * error / self.current_gradient_accumulation_steps

    def save_beside(self, folder: Path) -> None:
        self.critic.save_pretrained(folder / CRITIC)

    def restore_run(self, state: dict[str, Any], checkpoint: Path) -> None:
        super().restore_run(state, checkpoint)
        saved = AutoModelForTokenClassification.from_pretrained(
            checkpoint / CRITIC, trust_remote_code=False, dtype=torch.float32
        )
        self.critic.load_state_dict(saved.state_dict())


class _FreshGradients(TrainerCallback):
    """Clears the critic's gradients after each step; the Trainer clears only the policy's."""

    def __init__(self, critic: PreTrainedModel) -> None:
        self.critic = critic

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.critic.zero_grad()


def _explained(returns: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> float:
    """Share of the returns' variance over tokens that the critic foresaw."""
    kept = mask.bool()
    spread = returns[kept].var()
    return float(1 - (returns - values)[kept].var() / spread) if spread > 0 else 0.0


def train(method: Ppo, job: PolicyJob) -> None:
    """Train one policy by PPO; see `Ppo.train`."""
    config = grpo.configured(
        method, job, job.out / "checkpoints", num_iterations=method.iterations, beta=SMALLEST_BETA
    )
    critic = build_critic(job.reference, stream(job.seed, "critic"))
    train_groups(method, job, PpoTrainer, config, critic=critic, settings=method)
