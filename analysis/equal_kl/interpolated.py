"""Policies interpolated between a run's checkpoints: read back, and held against interpolated scores.

Training leaves them where weights were kept (`training.stages.interpolate`): one for each KL of the
comparison's grid that the path has reached, measured and scored as points are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.equal_kl.traced import SCORES, Between, Traced
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import percentile_interval
from analysis.records.experiment import Experiment, Run
from analysis.records.run_curves import RunCurves
from analysis.study.columns import run_columns
from analysis.study.study import Study, once
from analysis.study.table import NATS, STEP, TEXT, Column, Table

OF_RUN = ("run_id", "group", "method", "proxy", "proxy_seed", "seed")


def trace(experiment: Experiment, curves: Sequence[RunCurves], counts: Floats) -> dict[str, Traced]:
    """Every completed path by run_id, resampled by `counts` (replicates, clusters), with what was measured
    between its checkpoints where its weights were kept."""
    paths = [e for e in curves if e.run.control == "path" and e.run.status == "complete"]
    return {
        each.run.run_id: Traced.of(each, counts, _between(experiment, each.run, counts))
        for each in paths
        if each.measured("kl")
    }


@once
def traced(study: Study) -> dict[str, Traced]:
    """`trace` of all runs."""
    return trace(study.experiment, study.curves, study.counts)


def _between(experiment: Experiment, run: Run, counts: Floats) -> Between | None:
    found = [each for each in run.between if each.point.scored]
    if not found:
        return None
    # Standardised as the run's own points are, on its point 0, which is then left out.
    curves = RunCurves.read(experiment, run, [run.points[0], *(each.point for each in found)])
    whole = Traced.of(curves, counts)
    curve = Traced(
        whole.d[1:],
        {name: value[1:] for name, value in whole.scores.items()},
        whole.resampled_d[:, 1:],
        {name: value[:, 1:] for name, value in whole.resampled.items()},
    )
    return Between(tuple(each.kl for each in found), curve)


def checkpoint_table(paths: Mapping[str, Traced], runs: Sequence[Run]) -> pd.DataFrame:
    """One row of `CHECKPOINTS` per run, KL and score: what a policy between checkpoints scores, what is
    read between the points at that KL, and the first minus the second. `paths`: by run_id."""
    rows = []
    for run in runs:
        curve = paths.get(run.run_id)
        if curve is None or curve.between is None:
            continue
        for each in run.between:
            for score in SCORES:
                if not curve.has_between(score, each.kl):
                    continue
                value, spread = curve.read_between(score, each.kl)
                (points,), resampled = curve.read(score, np.sqrt([each.kl]))
                lo, hi = percentile_interval(spread - resampled[:, 0])
                place = curve.between.kl.index(each.kl)
                rows.append({
                    **run.settings(*OF_RUN),
                    "kl": each.kl, "kl_measured": curve.between.curve.d[place] ** 2, "step_a": each.step_a,
                    "step_b": each.step_b, "alpha": each.alpha, "score": score, "checkpoints": value,
                    "points": points, "difference": value - points, "lo": lo, "hi": hi,
                })  # fmt: skip
    return pd.DataFrame(rows)


def agreement(table: pd.DataFrame, score: str) -> str:
    """How far the two kinds of interpolation differ in one score, in a sentence; "" where it is unknown."""
    mine = table[table["score"] == score]
    if mine.empty:
        return ""
    apart = int(((mine["lo"] > 0) | (mine["hi"] < 0)).sum())
    size = mine["difference"].abs()
    unit = "" if score == "win_rate" else " s.d."
    return (
        f"Policies interpolated between checkpoints and scores interpolated between points differ by "
        f"{size.mean():.2f}{unit} in {score.replace('_', ' ')} on average, by {size.max():.2f} at most; in "
        f"{apart} of {len(mine)} places (run and KL) the interval of the difference excludes 0."
    )


CHECKPOINTS = Table(
    "checkpoints",
    "Policies between checkpoints beside scores between points: one row per run with weights, KL and score.",
    (
        *run_columns(*OF_RUN),
        Column("kl", NATS, "the KL wanted"),
        Column("kl_measured", NATS, "the KL that the policy between checkpoints has"),
        Column("step_a", STEP, "the checkpoint before"),
        Column("step_b", STEP, "the checkpoint behind"),
        Column("alpha", "1", "share of the weights of `step_b`"),
        Column("score", TEXT, "which score"),
        Column("checkpoints", "of the score", "of the policy between checkpoints"),
        Column("points", "of the score", "interpolated between the points"),
        Column("difference", "of the score", "checkpoints minus points"),
        Column("lo", "of the score", "lower bound of the difference, 95 %"),
        Column("hi", "of the score", "upper bound, 95 %"),
    ),
    lambda study: checkpoint_table(traced(study), study.experiment.runs),
)
