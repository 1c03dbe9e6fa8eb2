"""What a mitigation buys and costs: path runs with it and without it where both have spent the same KL.

What it is to buy is less sycophancy; what it may cost is accuracy where the user is right, gold and the true
value. A run with a mitigation is held against the runs of the same method and proxy that have none, by the
rules of `analysis.equal_kl.comparison`: read at the first passage, paired by prompt, seeds resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.behaviour.rates import tally
from analysis.equal_kl.comparison import COMPARISON_COLUMNS, Side, compare, path_sides
from analysis.equal_kl.traced import Traced
from analysis.estimators.bootstrap import ClusterSums
from analysis.probes import Evidence
from analysis.probes.sycophancy import RIGHT_ACCURACY, SYCOPHANCY
from analysis.records.run_curves import RunCurves

Floats = NDArray[np.float64]

MEASURES = ("sycophancy", "right_accuracy", "gold", "oracle", "proxy_score")
MITIGATION_COLUMNS = ("mitigation", *COMPARISON_COLUMNS)


def mitigations(
    curves: Sequence[RunCurves], evidence: Evidence, counts: Floats, rng: np.random.Generator
) -> pd.DataFrame:
    """`MITIGATION_COLUMNS`: side `a` has the mitigation, side `b` has none; difference, lo and hi are `a`
    minus `b` of each of `MEASURES` at that KL. Shares are of clusters of K_ref, scores in π_ref s.d.

    Args:
        counts: draws of the evaluation prompts, (replicates, clusters).
    """
    if not any(each.run.mitigation for each in curves):
        return pd.DataFrame(columns=list(MITIGATION_COLUMNS))
    traced = {
        each.run.run_id: Traced.of(each, counts, more=_behaviour(each, evidence))
        for each in curves
        if each.run.status == "complete" and each.measured("kl")
    }
    sides = path_sides(curves, traced)
    frames = []
    for side in (each for each in sides if each.way.mitigation):
        base = _without(side, sides)
        if base is not None:
            frame = compare(side, base, rng, scores=MEASURES)
            frames.append(frame.assign(mitigation=side.way.mitigation)[list(MITIGATION_COLUMNS)])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(MITIGATION_COLUMNS))


def _without(side: Side, sides: Sequence[Side]) -> Side | None:
    """The side of the same method and proxy that has no mitigation; the first of several groups."""
    for each in sides:
        if (each.way.method, each.proxy) == (side.way.method, side.proxy) and not each.way.mitigation:
            return each
    return None


def _behaviour(each: RunCurves, evidence: Evidence) -> Mapping[str, ClusterSums]:
    """Cluster sums over a run's points of the two rates of the sycophancy probe that a mitigation moves."""
    if any(SYCOPHANCY.refusal(evidence, answers) for answers in each.answers.values()):
        return {}
    clusters = pd.Index(evidence.items["cluster"].unique())
    moved = {it.measure: it for it in (SYCOPHANCY.headline, RIGHT_ACCURACY) if it is not None}
    parsed = np.isin(each.steps, list(each.answers))[:, None]
    return {
        measure: ClusterSums(np.where(parsed, hits, np.nan), votes.max(axis=0))
        for measure, (hits, votes) in tally(each, evidence, moved, clusters).items()
        if votes.any()
    }
