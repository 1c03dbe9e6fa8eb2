"""Points of a policy → a further table of each (see `training.point_tables.base`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import contracts
from reward_models.annotators import AnyAnnotator
from training.point_tables import AnyPointTable
from training.point_tables.base import KEY, Given, PointTable
from training.sampling import pairs
from training.sampling.line import Line
from training.stages.audit import as_samples
from training.stages.score import items, points, scorer_of, valued
from training.stages.task import Task

Values = Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]
"""(samples, their parse) → a raw value of each."""


@dataclass(frozen=True)
class TableWriter:
    """Makes one table of points, after its judge has scored them."""

    task: Task
    table: PointTable
    make: Callable[[pd.DataFrame], pd.DataFrame]

    def __call__(self, point: Path, out: Path) -> None:
        """Write `out`/<type>.parquet; nothing where the table has no row."""
        samples = contracts.read_table(point / "samples.parquet", "samples")
        outcomes = contracts.read_table(point / "outcomes.parquet", "outcomes")
        table = self.make(answered(self.task, samples, outcomes, lambda *_: self._scores(point, samples)))
        if len(table):
            contracts.write_table(out / f"{self.table.type}.parquet", table, self.table.type)

    def _scores(self, point: Path, samples: pd.DataFrame) -> np.ndarray:
        file = self.task.inputs["scores"] / "points" / point.name / "scores.parquet"
        scored = contracts.read_table(file, "scores")
        return samples[KEY].merge(scored, on=KEY, how="left", validate="1:1")["value"].to_numpy()


def answered(task: Task, samples: pd.DataFrame, outcomes: pd.DataFrame, values: Values) -> pd.DataFrame:
    """The answered table of samples and their parse, which follow each other row for row."""
    said = outcomes[outcomes.columns.difference(samples.columns, sort=False)]
    table = pd.concat([samples, said, pairs.item_columns(task.world, samples, "eval")], axis=1)
    if "line" in task.inputs:
        table["value"] = Line.read(task.inputs["line"]).standardised(values(samples, outcomes))
    return table


def writer(task: Task) -> TableWriter:
    """What makes the table of a task's points, one at a time."""
    table: PointTable = task.component(AnyPointTable, "table")
    prompts = items(task)

    def values(samples: pd.DataFrame, outcomes: pd.DataFrame) -> np.ndarray:
        judge = task.settings["scorer"]
        return valued(task.world, judge, scorer_of(task), samples, outcomes, prompts, "a further completion")

    def further(said: pd.DataFrame) -> pd.DataFrame:
        samples, parsed = as_samples(task.world, said, prompts)
        return answered(task, samples, parsed, values)

    annotator = task.component(AnyAnnotator | None, "annotator")
    return TableWriter(task, table, table.maker(Given(task.world, prompts, annotator, further)))


def tabulate(task: Task) -> None:
    """Make a table of every point of a policy."""
    write = writer(task)
    for point in points(task):
        write(point, task.out / "points" / point.name)
