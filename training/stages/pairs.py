"""Pairs of completions sampled from π_ref, to be compared."""

from __future__ import annotations

import pandas as pd

from training.sampling import pairs
from training.stages.task import Task


def sample_pairs(task: Task) -> None:
    """Sample pairs of completions from π_ref on the prompts of one role."""
    role, count = task.settings["role"], task.settings["count"]
    table = pairs.sample(
        task.world,
        task.inputs["reference"] / "model",
        role,
        count,
        task.stream("pairs", role),
        task.settings["batch_size"],
    )
    table.to_parquet(task.out / "pairs.parquet", compression="zstd")


def read_pairs(task: Task, name: str, start: int, count: int) -> pd.DataFrame:
    table = pd.read_parquet(task.inputs[name] / "pairs.parquet")
    return table.iloc[2 * start : 2 * (start + count)].reset_index(drop=True)
