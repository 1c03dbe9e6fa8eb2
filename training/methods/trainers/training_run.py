"""One policy's training from start to end: its trainer's arguments, its prompts, its points and
checkpoints."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback

from reward_models import trl_arguments
from reward_models.callbacks import StepCallback, require_sound
from training.methods import kl_control
from training.methods.base import TrainedMethod
from training.methods.job import PolicyJob
from training.methods.on_policy import OnPolicy
from training.methods.trainers.parts import SMALLEST_BETA, Resumable
from training.methods.trainers.proxy_reward import ProxyReward
from training.sampling.points import Observer
from training.sampling.sample import load_policy
from training.store import checkpoints
from training.streams import stream


class Points(TrainerCallback):
    """Measures points when the schedule asks for them, and ends the run when it says so."""

    def __init__(self, schedule: kl_control.Schedule, observer: Observer | None) -> None:
        self.schedule, self.observer = schedule, observer
        self.trainer: Resumable
        self.seconds = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 0:
            self._measure(0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        require_sound("The policy", state.global_step, model)
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


class Run:
    """One policy's training: a trainer is built, followed along its points, and its policy saved."""

    def __init__(self, job: PolicyJob) -> None:
        self.job, self.started = job, time.perf_counter()
        self.schedule = kl_control.Schedule(job.control, job.steps)
        self.checkpoints = job.out / "checkpoints"
        self.reward = ProxyReward(job) if job.proxy else None
        observer = None
        if job.measure:
            if self.reward:
                self.reward.cover("eval")
            observer = Observer(
                job.out,
                job.world,
                load_policy(job.reference),
                seed=job.observe_seed,
                batch_size=job.batch_size,
                keep_weights=job.keep_weights,
                hidden=job.hidden_states,
                reward=self.reward.at_point if self.reward else None,
            )
        self.points = Points(self.schedule, observer)

    def controller(self) -> kl_control.KLController | None:
        """What holds the KL at a budget, where the control has one."""
        job = self.job
        if isinstance(job.control, kl_control.Target) and job.budget is not None:
            return kl_control.KLController(job.control, job.budget, job.steps)
        return None

    def parts(self) -> dict[str, Any]:
        """Keyword arguments that every trainer is built with."""
        return {
            "processing_class": self.job.world.tokenizer(),
            "callbacks": [StepCallback("The policy", self.job.journal), self.points],
            "schedule": self.schedule,
            "reward": self.reward,
        }

    def train(self, trainer: Any) -> None:
        """Train to the end of the schedule, from the latest whole checkpoint if there is one."""
        job = self.job
        trainer.remove_callback(PrinterCallback)
        self.points.trainer = trainer
        resume = checkpoints.latest(self.checkpoints)
        job.journal.keep_until(int(resume.name.split("-")[1]) if resume else 0)
        if not resume and self.reward and self.reward.metrics:  # of what was labelled or ranked beforehand
            job.journal(0, job.steps, self.reward.metrics)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        assert isinstance(trainer.model, PreTrainedModel)
        trainer.model.save_pretrained(job.out / "model")
        job.world.tokenizer().save_pretrained(job.out / "model")
        checkpoints.clear(self.checkpoints)
        seconds = {"total": time.perf_counter() - self.started, "measuring": self.points.seconds}
        (job.out / "seconds.json").write_text(json.dumps(seconds))


def arguments(method: TrainedMethod, job: PolicyJob, folder: Path, **own: Any) -> dict[str, Any]:
    """Arguments common to every policy's trainer, then the method's `own`, then the user's."""
    common = {
        **trl_arguments.common(stream(job.seed, "rollouts")),
        "output_dir": str(folder),
        "max_steps": job.steps,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": "constant",
        # With 0.999 the step size lags behind gradients that grow when an exploit is found, and KL leaps.
        "adam_beta2": 0.95,
        **own,
        **method.trainer,
    }
    batch = trl_arguments.micro_batch(method.examples_per_step, method.trainer)
    common["per_device_train_batch_size"] = batch
    if method.checkpoint_every:
        common |= {"save_strategy": "steps", "save_steps": method.checkpoint_every}
    return common


def group_arguments(method: OnPolicy, job: PolicyJob, folder: Path, **own: Any) -> dict[str, Any]:
    """`arguments` of the trainers that roll out groups of completions."""
    return arguments(
        method,
        job,
        folder,
        **trl_arguments.SAMPLING,
        num_generations=method.generations,
        max_completion_length=job.world.max_completion_tokens,
        disable_dropout=True,
        # TRL's sampler replays epoch 0 after a resume; prompts are laid out for the whole run instead.
        shuffle_dataset=False,
        **{"beta": max(method.beta, SMALLEST_BETA), "num_iterations": 1, **own},
    )


def train_groups(method: OnPolicy, job: PolicyJob, trainer: type[Any], config: Any, **own: Any) -> None:
    """Train with a `Steered` trainer that rolls out groups."""
    run = Run(job)
    run.train(
        trainer(
            # A path, not an instance: TRL rebuilds the reference from it, so both start from the same
            # weights.
            model=str(job.reference),
            reward_funcs=run.reward,
            args=config,
            train_dataset=prompts(job, method.prompts_per_step),
            controller=run.controller(),
            **run.parts(),
            **own,
        )
    )


def prompts(job: PolicyJob, per_step: int) -> Dataset:
    """Prompts of every step in order, with the ids of their items: shuffled passes over the world's policy
    prompts, end to end."""
    pool = job.world.prompts("policy")
    needed = per_step * job.steps
    passes = math.ceil(needed / len(pool))
    rng = np.random.default_rng(stream(job.seed, "prompts"))
    order = np.concatenate([rng.permutation(len(pool)) for _ in range(passes)])[:needed]
    return Dataset.from_dict({name: pool[name].to_numpy()[order].tolist() for name in ("prompt", "item_id")})
