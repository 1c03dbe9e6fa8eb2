"""The part of best-of-n distillation that needs TRL."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer
from trl.trainer.utils import disable_dropout_in_model

from training.methods.best_of_n_distilled import BestOfNDistilled
from training.methods.job import PolicyJob
from training.methods.trainers.best_of_n import pool
from training.methods.trainers.offline import Rows, laid_out, offline_arguments
from training.methods.trainers.parts import Resumable
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.training_run import Run
from training.streams import stream


class ResumableSftTrainer(Resumable, SFTTrainer):
    """SFTTrainer whose checkpoints are whole."""


def favourites(method: BestOfNDistilled, job: PolicyJob, reward: ProxyReward) -> Rows:
    """Columns input_ids and completion_mask of the proxy's favourite for each prompt, ties broken at
    random."""
    items = job.world.prompts("policy")
    items = items.iloc[np.arange(method.prompts) % len(items)].reset_index(drop=True)
    drawn, ranked = pool(job, reward, items, method.n, stream(job.seed, "pool"))
    best = ranked.favourite(np.random.default_rng(stream(job.seed, "ties")))
    said = drawn["ids"].iloc[best + np.arange(len(items)) * method.n].tolist()
    asked = job.world.tokenizer()(items["prompt"].tolist())["input_ids"]
    return {
        "input_ids": [[*p, *c] for p, c in zip(asked, said, strict=True)],
        "completion_mask": [[0] * len(p) + [1] * len(c) for p, c in zip(asked, said, strict=True)],
    }


def train(method: BestOfNDistilled, job: PolicyJob) -> None:
    """Train one policy on favourites; see `BestOfNDistilled.train`."""
    run = Run(job)
    assert run.reward
    own: dict[str, Any] = {"completion_only_loss": True, "weight_decay": 0.0}
    policy = AutoModelForCausalLM.from_pretrained(job.reference, trust_remote_code=False, dtype=torch.float32)
    disable_dropout_in_model(policy)
    run.train(
        ResumableSftTrainer(
            model=policy,
            args=SFTConfig(**offline_arguments(method, job, run.checkpoints, **own)),
            train_dataset=laid_out(method, job, favourites(method, job, run.reward)),
            **run.parts(),
        )
    )
