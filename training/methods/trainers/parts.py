"""What is mixed into TRL's trainers: the proxy as their reward, whole checkpoints, and β steered by KL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerState

from reward_models.callbacks import require_finite
from reward_models.errors import Diverged
from reward_models.reward import RewardModel
from training.methods import kl_control
from training.methods.job import PolicyJob
from training.sampling import sample
from training.store import checkpoints
from training.streams import stream

# TRL drops the reference model, and with it the KL, when beta is exactly 0.
SMALLEST_BETA = 1e-6
STATE = "overopt.json"


class ProxyReward:
    """The proxy as a TRL reward function: scores token ids as sampled, EOS kept.

    TRL would hand a reward *model* the decoded text without EOS, which is not what it was trained on.
    """

    __name__ = "proxy"

    def __init__(self, job: PolicyJob) -> None:
        self.model, self.world, self.mitigation = RewardModel.load(job.proxy), job.world, job.mitigation
        self.batch_size = job.batch_size
        self.tokenizer = job.world.tokenizer()
        self.items = job.world.prompts("policy") if job.mitigation else None
        self.latest: list[float] = []
        """Rewards of the last rollout."""
        self.metrics: Mapping[str, float] = {}
        """What the mitigation made of it."""
        self.fitted: Mapping[str, float] = self._fit(job) if job.mitigation else {}
        """What the mitigation has learnt from π_ref's samples."""

    def __call__(
        self,
        prompts: list[str],
        completion_ids: list[list[int]],
        item_id: list[str],
        trainer_state: TrainerState | None = None,
        **_: Any,
    ) -> list[float]:
        reward = self.of(prompts, completion_ids, item_id, self.items)
        if not np.isfinite(reward).all():
            # TRL would treat it as "unscorable" and train on.
            step = f" at step {trainer_state.global_step}" if trainer_state else ""
            raise Diverged(f"The policy stopped{step}: the proxy's reward is not a finite number")
        self.latest = [float(r) for r in reward]
        return self.latest

    def of(
        self,
        prompts: Sequence[str],
        completions: list[list[int]],
        item_id: Sequence[str],
        items: pd.DataFrame | None,
    ) -> np.ndarray:
        """The reward to optimise of completions (ids, EOS included), in s.d. of the proxy on π_ref: (B,).

        Args:
            item_id: which item each prompt is, of those in `items`; only a mitigation asks.
        """
        reward = self._proxy(prompts, completions)
        if not self.mitigation:
            return reward
        answers = pd.DataFrame()
        if self.mitigation.needs:
            assert items is not None
            answers = self._answers(completions, item_id, items)
        shaped = self.mitigation.transform(reward, answers, self.fitted)
        self.metrics = shaped.metrics
        return shaped.reward

    def _proxy(self, prompts: Sequence[str], completions: list[list[int]]) -> np.ndarray:
        prompt_ids = self.tokenizer(list(prompts))["input_ids"]
        sequences = [[*p, *c] for p, c in zip(prompt_ids, completions, strict=True)]
        return self.model.standardised(sequences, self.batch_size)

    def _answers(
        self, completions: list[list[int]], item_id: Sequence[str], items: pd.DataFrame
    ) -> pd.DataFrame:
        samples = pd.DataFrame(
            {
                "item_id": item_id,
                "sample_id": [str(row) for row in range(len(item_id))],
                "completion": self.tokenizer.batch_decode(completions, skip_special_tokens=True),
                "length": [len(ids) for ids in completions],
                "finished": [ids[-1] == self.tokenizer.eos_token_id for ids in completions],
            }
        )
        return self.world.answers(samples, items[items["item_id"].isin(samples["item_id"])])

    def _fit(self, job: PolicyJob) -> Mapping[str, float]:
        """Show the mitigation the samples of π_ref that it asks for."""
        assert self.mitigation is not None and self.items is not None
        rng = np.random.default_rng(stream(job.seed, "mitigation prompts"))
        asked = self.mitigation.base_prompts(self.items, rng)
        if asked.empty:
            return {}
        prompts, item_id = asked["prompt"].tolist(), asked["item_id"].tolist()
        said = sample.complete(
            sample.load_policy(job.reference),
            self.tokenizer,
            prompts,
            job.world.max_completion_tokens,
            stream(job.seed, "mitigation samples"),
            job.batch_size,
        )
        return self.mitigation.fit(self._proxy(prompts, said), self._answers(said, item_id, self.items))


class Resumable:
    """A TRL trainer whose checkpoints count once they are whole, and bring back the state of its run.

    Mixed in before the trainer's class.
    """

    def __init__(self, *args: Any, schedule: kl_control.Schedule, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schedule = schedule

    def run_state(self) -> dict[str, Any]:
        """What a checkpoint must keep beside TRL's own."""
        return {"schedule": self.schedule.state()}

    def restore_run(self, state: dict[str, Any], checkpoint: Path) -> None:
        """Continue from `run_state()`."""
        self.schedule.restore(state["schedule"])

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        self.save_beside(folder)
        (folder / STATE).write_text(json.dumps(self.run_state()))
        checkpoints.seal(folder)

    def save_beside(self, folder: Path) -> None:
        """Add further weights to a checkpoint that is about to be sealed."""

    def _load_optimizer_and_scheduler(self: Any, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint:
            state = json.loads((Path(checkpoint) / STATE).read_text())
            self.restore_run(state, Path(checkpoint))

    @property
    def rollout_kl(self) -> float | None:
        """KL of the last rollout in nats per sequence; None where training draws no rollouts."""
        return None


class Steered(Resumable):
    """A trainer with rollouts, whose β a controller may move by their KL."""

    def __init__(self, *args: Any, controller: kl_control.KLController | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controller = controller
        self._rollout_kl = 0.0
        if controller:
            self.coefficient = controller.control.initial_beta

    @property
    def coefficient(self: Any) -> float:
        """The KL coefficient in force."""
        return float(self.beta)

    @coefficient.setter
    def coefficient(self: Any, value: float) -> None:
        self.beta = value

    @property
    def rollout_kl(self) -> float:
        return self._rollout_kl

    def rolled_out(self: Any, kl: float) -> None:
        """Note the KL (nats per sequence) of a rollout just made, and set β for the next one."""
        metrics = self._metrics["train"]
        require_finite("The policy", self.state.global_step, {"KL": kl, "reward": metrics["reward"][-1]})
        self._rollout_kl = kl
        metrics["kl_sequence"].append(kl)
        metrics["beta"].append(self.coefficient)
        for name, value in self.reward_funcs[0].metrics.items():
            metrics[name].append(value)
        if self.controller:
            self.coefficient = max(SMALLEST_BETA, self.controller.update(kl))

    def run_state(self) -> dict[str, Any]:
        state = super().run_state() | {"beta": self.coefficient}
        return state | {"controller": self.controller.state()} if self.controller else state

    def restore_run(self, state: dict[str, Any], checkpoint: Path) -> None:
        super().restore_run(state, checkpoint)
        self.coefficient = state["beta"]
        if self.controller:
            self.controller.restore(state["controller"])
