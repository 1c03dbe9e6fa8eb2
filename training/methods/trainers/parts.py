"""What is mixed into TRL's trainers: whole checkpoints, and β steered by KL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reward_models.callbacks import require_finite
from training.methods import kl_control
from training.methods.trainers.proxy_reward import ProxyReward
from training.store import checkpoints

# TRL drops the reference model, and with it the KL, when beta is exactly 0.
SMALLEST_BETA = 1e-6
STATE = "overopt.json"


class Resumable:
    """A TRL trainer whose checkpoints count once they are whole, and bring back the state of its run.

    Mixed in before the trainer's class.
    """

    def __init__(
        self, *args: Any, schedule: kl_control.Schedule, reward: ProxyReward | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.schedule, self.reward = schedule, reward

    def run_state(self) -> dict[str, Any]:
        """What a checkpoint must keep beside TRL's own."""
        mitigation = self.reward.state() if self.reward else {}
        return {"schedule": self.schedule.state(), "mitigation": mitigation}

    def restore_run(self, state: dict[str, Any], checkpoint: Path) -> None:
        """Continue from `run_state()`."""
        self.schedule.restore(state["schedule"])
        if self.reward:
            self.reward.restore(state["mitigation"])

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
