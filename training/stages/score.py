"""Points × one scorer → scores. With labelling, the only room in which gold is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import contracts
from reward_models.gold import AnyGold
from reward_models.gold.base import Completions, Gold
from training.errors import Diverged
from training.stages.task import Task
from training.worlds.built_world import BuiltWorld

Scorer = Callable[[Completions], np.ndarray]
"""A raw value for each completion, shape (N,)."""


def scorer_of(task: Task) -> Scorer:
    """Who scores in a stage whose settings name a `scorer`: gold, oracle or proxy/<name>/<replicate>."""
    name, size = task.settings["scorer"], task.settings["batch_size"]
    if name == "gold":
        gold: Gold = task.component(AnyGold, "gold")
        return partial(gold.score, task.inputs["gold"], batch_size=size)
    return _true_values if name == "oracle" else partial(_by_proxy, task.inputs["proxy"] / "model", size)


def _true_values(completions: Completions) -> np.ndarray:
    assert completions.oracle is not None, "planned for worlds with an oracle only"
    return completions.oracle


def _by_proxy(folder: Path, batch_size: int, completions: Completions) -> np.ndarray:
    from reward_models.reward import load_cached  # torch: not needed where finished work is reused

    return load_cached(folder).score(completions.sequences(), batch_size)


def valued(
    world: BuiltWorld,
    name: str,
    scorer: Scorer,
    samples: pd.DataFrame,
    outcomes: pd.DataFrame,
    items: pd.DataFrame,
    where: str,
) -> np.ndarray:
    """The raw value of every sample by one scorer, in the order of `samples`.

    Args:
        samples: columns item_id, sample_id, completion, ids, finished, length.
        outcomes: their parse, row for row.
        items: the prompts, by item_id.
        where: what is being scored, for an error.

    Raises:
        Diverged: a value is not finite.
    """
    prompts = items.set_index("item_id")["prompt"].loc[samples["item_id"]].tolist()
    completions = Completions(
        prompts=prompts,
        texts=samples["completion"].tolist(),
        prompt_ids=world.tokenizer()(prompts)["input_ids"],
        ids=samples["ids"].tolist(),
        oracle=world.oracle(samples, outcomes, items),
    )
    values = scorer(completions)
    if not np.isfinite(values).all():
        raise Diverged(f"{name} gave {where} a value that is not a finite number")
    return values


@dataclass(frozen=True)
class PointScores:
    """Scores points by one scorer."""

    name: str
    scorer: Scorer
    world: BuiltWorld
    items: pd.DataFrame

    def __call__(self, point: Path, out: Path) -> None:
        """Write `out`/scores.parquet for the samples and outcomes in the folder `point`.

        Raises:
            Diverged: a value is not finite.
        """
        samples = contracts.read_table(point / "samples.parquet", "samples")
        outcomes = contracts.read_table(point / "outcomes.parquet", "outcomes")
        values = valued(self.world, self.name, self.scorer, samples, outcomes, self.items, point.name)
        table = samples[["item_id", "sample_id"]].assign(scorer=self.name, value=values)
        contracts.write_table(out / "scores.parquet", table, "scores")


def writer(task: Task) -> PointScores:
    """What scores the points of a task, one at a time."""
    return PointScores(task.settings["scorer"], scorer_of(task), task.world, items(task))


def items(task: Task) -> pd.DataFrame:
    """The items whose samples a scoring task values."""
    own = task.inputs["samples"] / "items.parquet"
    return pd.read_parquet(own) if own.exists() else task.world.prompts("eval")


def score_points(task: Task) -> None:
    """Score every point of a run, of the pool, or of the reference samples."""
    write = writer(task)
    for point in points(task):
        write(point, task.out / "points" / point.name)


def points(task: Task) -> list[Path]:
    """The folders of the points of a task's samples, in order."""
    return sorted((task.inputs["samples"] / "points").glob("[0-9]*"))
