"""Pairs of completions sampled from π_ref, to be compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.sampling import pairs
from training.stages.task import Task


def sample_pairs(task: Task) -> None:
    """Sample pairs of completions from π_ref on the prompts of one role, or one chunk of a window of them."""
    role, count = task.settings["role"], task.settings["count"]
    window, chunk = task.settings.get("window", 0), task.settings.get("chunk", 0)
    start = chunk * count
    if window:  # a window begins at prompts of its own, wherever others end
        start += task.stream("pair prompts", window) % len(task.world.prompts(role))
    table = pairs.sample(
        task.world,
        task.inputs["reference"] / "model",
        role,
        range(start, start + count),
        task.stream("pairs", role, *((window, chunk) if window or chunk else ())),
        task.settings["batch_size"],
    )
    table.to_parquet(task.out / "pairs.parquet", compression="zstd")


def read_pairs(folder: Path, count: int | None = None) -> pd.DataFrame:
    """The first `count` of the pairs that lie in an artefact, or all of them: two rows each."""
    table = pd.read_parquet(folder / "pairs.parquet")
    return table if count is None else table.iloc[: 2 * count].reset_index(drop=True)
