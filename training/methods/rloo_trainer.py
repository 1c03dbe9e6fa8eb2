"""The part of RLOO that needs TRL: a trainer that knows its KL per sequence, and the callbacks around it."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainerState
from trl import RLOOConfig, RLOOTrainer

from reward_models import trl_arguments
from reward_models.callbacks import StepCallback, require_finite
from reward_models.errors import Diverged
from reward_models.reward import RewardModel
from training import budget, checkpoints
from training.methods.job import PolicyJob
from training.observe import Observer
from training.sample import load_policy
from training.streams import stream

if TYPE_CHECKING:
    from training.methods.rloo import Rloo

# TRL drops the reference model, and with it the KL, when beta is exactly 0.
SMALLEST_BETA = 1e-6
STATE = "overopt.json"


class ProxyReward:
    """The proxy as a TRL reward function: scores token ids as sampled, EOS kept.

    TRL would hand a reward *model* the decoded text without EOS, which is not what it was trained on.
    """

    __name__ = "proxy"

    def __init__(self, model: RewardModel, job: PolicyJob) -> None:
        self.model, self.mitigation, self.batch_size = model, job.mitigation, job.batch_size
        self.tokenizer = job.world.tokenizer()

    def __call__(
        self, prompts: list[str], completion_ids: list[list[int]], trainer_state: TrainerState, **_: Any
    ) -> list[float]:
        prompt_ids = self.tokenizer(prompts)["input_ids"]
        sequences = [[*p, *c] for p, c in zip(prompt_ids, completion_ids, strict=True)]
        reward = self.model.standardised(sequences, self.batch_size)
        if not np.isfinite(reward).all():
            # TRL would treat it as "unscorable" and train on.
            step = trainer_state.global_step
            raise Diverged(f"The policy stopped at step {step}: the proxy's reward is not a finite number")
        if self.mitigation:
            reward = self.mitigation.transform(reward)
        return [float(r) for r in reward]


class KLTrainer(RLOOTrainer):
    """RLOOTrainer that knows the KL per sequence of each rollout, and lets a controller move β by it.

    TRL logs KL per token; times the mean length of the same rollout it is the k1 estimate per sequence.
    """

    def __init__(
        self, *args: Any, schedule: budget.Schedule, controller: budget.KLController | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.schedule, self.controller = schedule, controller
        self.rollout_kl = 0.0

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        metrics = self._metrics["train"]
        self.rollout_kl = metrics["kl"][-1] * metrics["completions/mean_length"][-1]
        require_finite(
            "The policy", self.state.global_step, {"KL": self.rollout_kl, "reward": metrics["reward"][-1]}
        )
        metrics["kl_sequence"].append(self.rollout_kl)
        metrics["beta"].append(self.beta)
        if self.controller:
            self.beta = max(SMALLEST_BETA, self.controller.update(self.rollout_kl))
        return batch

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        state = {"beta": self.beta, "schedule": self.schedule.state()}
        if self.controller:
            state["controller"] = self.controller.state()
        (folder / STATE).write_text(json.dumps(state))
        checkpoints.seal(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint:
            state = json.loads((Path(checkpoint) / STATE).read_text())
            self.beta = state["beta"]
            self.schedule.restore(state["schedule"])
            if self.controller:
                self.controller.restore(state["controller"])


@torch.no_grad()
def require_sound(policy: PreTrainedModel, step: int) -> None:
    """Stop if the last step has left weights from which nothing can be sampled.

    Raises:
        Diverged: a logit is not finite.
    """
    token = torch.zeros(1, 1, dtype=torch.long, device=policy.device)
    if not policy(input_ids=token).logits.isfinite().all():
        raise Diverged(
            f"The policy stopped at step {step}: its logits, and with them KL and loss, are no longer finite "
            "numbers. A smaller learning_rate is the usual cure."
        )


class Points(TrainerCallback):
    """Measures points when the schedule asks for them, and ends the run when it says so."""

    def __init__(self, schedule: budget.Schedule, observer: Observer | None) -> None:
        self.schedule, self.observer = schedule, observer
        self.trainer: KLTrainer
        self.seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 0:
            self._measure(0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        require_sound(model, state.global_step)
        due, last = self.schedule.after(state.global_step, self.trainer.rollout_kl)
        if due:
            self._measure(state.global_step, model)
        if last:
            control.should_training_stop = True

    def _measure(self, step: int, model: Any) -> None:
        if self.observer:
            started = time.perf_counter()
            self.observer.point(step, model)
            self.seconds += time.perf_counter() - started


def train(method: Rloo, job: PolicyJob) -> None:
    """Train one policy by RLOO; see `Rloo.train`."""
    started = time.perf_counter()
    schedule = budget.Schedule(job.control, job.steps)
    controller = None
    if isinstance(job.control, budget.Target) and job.budget is not None:
        controller = budget.KLController(job.control, job.budget, job.steps)
    observer = None
    if job.measure:
        observer = Observer(
            job.out, job.world, load_policy(job.reference), seed=job.observe_seed, batch_size=job.batch_size
        )
    points = Points(schedule, observer)
    checkpoint_folder = job.out / "checkpoints"
    trainer = KLTrainer(
        # A path, not an instance: TRL rebuilds the reference from it, so both start from the same weights.
        model=str(job.reference),
        reward_funcs=ProxyReward(RewardModel.load(job.proxy), job),
        args=_arguments(method, job, checkpoint_folder),
        train_dataset=Dataset.from_dict({"prompt": _prompts(method, job)}),
        processing_class=job.world.tokenizer(),
        callbacks=[StepCallback("The policy", job.journal), points],
        schedule=schedule,
        controller=controller,
    )
    if controller:
        trainer.beta = controller.control.initial_beta
    trainer.remove_callback(PrinterCallback)
    points.trainer = trainer
    resume = checkpoints.latest(checkpoint_folder)
    job.journal.keep_until(int(resume.name.split("-")[1]) if resume else 0)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    assert isinstance(trainer.model, PreTrainedModel)
    trainer.model.save_pretrained(job.out / "model")
    job.world.tokenizer().save_pretrained(job.out / "model")
    shutil.rmtree(checkpoint_folder, ignore_errors=True)
    seconds = {"total": time.perf_counter() - started, "measuring": points.seconds}
    (job.out / "seconds.json").write_text(json.dumps(seconds))


def _arguments(method: Rloo, job: PolicyJob, folder: Path) -> RLOOConfig:
    arguments = {
        **trl_arguments.common(stream(job.seed, "rollouts")),
        **trl_arguments.SAMPLING,
        "output_dir": str(folder),
        "max_steps": job.steps,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": "constant",
        # With 0.999 the step size lags behind gradients that grow when an exploit is found, and KL leaps.
        "adam_beta2": 0.95,
        "beta": max(method.beta, SMALLEST_BETA),
        "num_generations": method.generations,
        "max_completion_length": job.world.max_completion_tokens,
        "normalize_advantages": False,
        "disable_dropout": True,
        # TRL's sampler replays epoch 0 after a resume; prompts are laid out for the whole run instead.
        "shuffle_dataset": False,
        "num_iterations": 1,
        **method.trainer,
    }
    accumulation = arguments.get("gradient_accumulation_steps", 1)
    arguments["per_device_train_batch_size"] = method.prompts_per_step * method.generations // accumulation
    if method.checkpoint_every:
        arguments |= {"save_strategy": "steps", "save_steps": method.checkpoint_every}
    return RLOOConfig(**arguments)


def _prompts(method: Rloo, job: PolicyJob) -> list[str]:
    """Prompts of every step in order: shuffled passes over the world's policy prompts, end to end."""
    prompts = job.world.prompts("policy")["prompt"].to_numpy()
    needed = method.prompts_per_step * job.steps
    passes = math.ceil(needed / len(prompts))
    rng = np.random.default_rng(stream(job.seed, "prompts"))
    order = np.concatenate([rng.permutation(len(prompts)) for _ in range(passes)])[:needed]
    return [str(p) for p in prompts[order]]
