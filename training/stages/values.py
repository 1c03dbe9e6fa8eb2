"""What a judge (oracle or gold) knows of sampled pairs: their values, by which annotators label."""

from __future__ import annotations

import pandas as pd

from reward_models import calibration
from training.sampling import pairs
from training.sampling.line import Line
from training.stages.pairs import read_pairs
from training.stages.score import scorer_of
from training.stages.task import Task


def value_pairs(task: Task) -> None:
    """The judge's value of each completion (raw, and standardised on π_ref), with parse and item columns.

    It is standardised by the mean and spread of the pairs that are the input `line`, or of these themselves.
    """
    role, judge = task.settings["role"], task.settings["scorer"]
    table = read_pairs(task.inputs["pairs"], task.settings["count"])
    parsed = pairs.outcomes(task.world, table, role)
    raw = scorer_of(task)(pairs.completions(table, pairs.oracle(task.world, table, parsed, role)))
    calibration.require_finite_rewards(judge, raw)
    line = Line.read(task.inputs["line"]) if "line" in task.inputs else Line.of(judge, raw)
    line.write(task.out)
    values = parsed.drop(columns=["item_id", "sample_id"])
    values = pd.concat([values, pairs.item_columns(task.world, table, role)], axis=1)
    values = values.assign(raw=raw, value=line.standardised(raw), length=table["length"])
    values.to_parquet(task.out / "values.parquet", compression="zstd")
