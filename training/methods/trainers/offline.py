"""The part of offline methods that needs TRL: token ids as sampled, in an order laid out for the whole
run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.special import expit
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from training.methods.dpo import Dpo
from training.methods.job import PolicyJob
from training.methods.kto import Kto
from training.methods.offline import Offline, Preferences
from training.methods.trainers.parts import Resumable
from training.methods.trainers.proxy_reward import ProxyReward
from training.methods.trainers.training_run import Run, arguments
from training.sampling import pairs
from training.streams import stream

Rows = Mapping[str, list[Any]]


class TokenDpoTrainer(Resumable, DPOTrainer):
    """DPOTrainer on token ids: TRL would decode nothing, but re-tokenise text and end truncated samples in
    EOS."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


class TokenKtoTrainer(Resumable, KTOTrainer):
    """KTOTrainer on token ids, for the same reason."""

    def _prepare_dataset(self, dataset: Dataset, _: Any, args: KTOConfig, *__: Any) -> Dataset:
        """Add what TRL's baseline needs: each prompt of a batch with the completion of its neighbour."""

        def neighbours(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            ids = batch["completion_ids"]
            return {"KL_completion_ids": [ids[-1], *ids[:-1]]}

        return dataset.map(neighbours, batched=True, batch_size=args.per_device_train_batch_size)


def preferences(method: Preferences, job: PolicyJob, reward: ProxyReward | None) -> Rows:
    """Columns prompt_ids, chosen_ids and rejected_ids (completions alone) of the pairs to learn from.

    Args:
        reward: what labels fresh pairs; None where the annotator has labelled them.
    """
    if reward is None:
        assert job.labels is not None
        table = pd.read_parquet(job.labels).head(method.pairs)
        table = table[["prompt_tokens", "chosen_ids", "rejected_ids"]]
        prompt, chosen, rejected = (table[name].tolist() for name in table)
        return {
            "prompt_ids": [list(ids[:n]) for n, ids in zip(prompt, chosen, strict=True)],
            "chosen_ids": [list(ids[n:]) for n, ids in zip(prompt, chosen, strict=True)],
            "rejected_ids": [list(ids[n:]) for n, ids in zip(prompt, rejected, strict=True)],
        }
    table = pairs.sample(
        job.world, job.reference, "policy", range(method.pairs), stream(job.seed, "pairs"), job.batch_size
    )
    asked, said, item_id = (table[name].tolist() for name in ("prompt", "ids", "item_id"))
    rewards = reward.of(asked, said, item_id, job.world.prompts("policy")).reshape(-1, 2)
    rng = np.random.default_rng(stream(job.seed, "labels"))
    first = rng.random(method.pairs) < expit(rewards[:, 0] - rewards[:, 1])
    ids = table["ids"].tolist()
    of_first = 2 * np.arange(method.pairs)
    return {
        "prompt_ids": table["prompt_ids"].iloc[::2].tolist(),
        "chosen_ids": [ids[i] for i in of_first + ~first],
        "rejected_ids": [ids[i] for i in of_first + first],
    }


def unpaired(rows: Rows) -> Rows:
    """Columns prompt_ids, completion_ids and label: the chosen completion is desirable, the rejected is
    not."""
    return {
        "prompt_ids": [p for p in rows["prompt_ids"] for _ in range(2)],
        "completion_ids": [
            c for pair in zip(rows["chosen_ids"], rows["rejected_ids"], strict=True) for c in pair
        ],
        "label": [True, False] * len(rows["prompt_ids"]),
    }


def laid_out(method: Offline, job: PolicyJob, rows: Rows) -> Dataset:
    """The examples of every step in order: shuffled passes, end to end, so that a resumed run sees the
    same."""
    count = len(next(iter(rows.values())))
    needed = method.batch_size * job.steps
    rng = np.random.default_rng(stream(job.seed, "order"))
    passes = math.ceil(needed / count)
    order = np.concatenate([rng.permutation(count) for _ in range(passes)])[:needed]
    return Dataset.from_dict({name: [column[i] for i in order] for name, column in rows.items()})


def offline_arguments(method: Offline, job: PolicyJob, folder: Path, **own: Any) -> dict[str, Any]:
    """`arguments` of trainers that read examples in the order given."""
    own = {"train_sampling_strategy": "sequential", "max_length": None, **own}
    return arguments(method, job, folder, **own)


def train_dpo(method: Dpo, job: PolicyJob) -> None:
    """Train one policy on pairs; see `Dpo.train`."""
    run = Run(job)
    own = {
        "beta": method.beta,
        "loss_type": [method.loss],
        "label_smoothing": method.label_smoothing,
        "disable_dropout": True,
    }
    run.train(
        TokenDpoTrainer(
            model=str(job.reference),
            args=DPOConfig(**offline_arguments(method, job, run.checkpoints, **own)),
            train_dataset=laid_out(method, job, preferences(method, job, run.reward)),
            **run.parts(),
        )
    )


def train_kto(method: Kto, job: PolicyJob) -> None:
    """Train one policy on single completions; see `Kto.train`."""
    run = Run(job)
    own = {"beta": method.beta, "disable_dropout": True}
    run.train(
        TokenKtoTrainer(
            model=str(job.reference),
            args=KTOConfig(**offline_arguments(method, job, run.checkpoints, **own)),
            train_dataset=laid_out(method, job, unpaired(preferences(method, job, run.reward))),
            **run.parts(),
        )
    )
