"""What a mitigation buys and costs: path runs with it and without it where both have spent the same KL.

What it is to buy is less sycophancy; what it may cost is accuracy where the user is right, gold and the true
value. A run with a mitigation is held against the runs of the same method and proxy that have none, by the
rules of `analysis.equal_kl.comparison`: read at the first passage, paired by prompt, seeds resampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import tally
from analysis.equal_kl.comparison import COMPARED, Side, compare, path_sides
from analysis.equal_kl.traced import Traced
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.probes import Evidence, Headline
from analysis.probes.evidence import evidence, headline_probe
from analysis.records.run_curves import RunCurves
from analysis.study.study import Study
from analysis.study.table import TEXT, Column, Table

SCORES = ("gold", "oracle", "proxy_score")


def mitigations(
    curves: Sequence[RunCurves],
    known: Evidence,
    watched: Mapping[str, Headline],
    counts: Floats,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`MITIGATIONS`: side `a` has the mitigation, side `b` has none.

    Args:
        watched: the behaviours that a mitigation is to move, or must not move, by measure.
        counts: draws of the evaluation prompts, (replicates, clusters).
    """
    if not any(each.run.mitigation for each in curves):
        return MITIGATIONS.empty()
    traced = {
        each.run.run_id: Traced.of(each, counts, more=_behaviour(each, known, watched))
        for each in curves
        if each.run.status == "complete" and each.measured("kl")
    }
    sides = path_sides(curves, traced)
    frames = []
    for side in (each for each in sides if each.way.mitigation):
        base = _without(side, sides)
        if base is not None:
            frame = compare(side, base, rng, scores=(*watched, *SCORES))
            frames.append(frame.assign(mitigation=side.way.mitigation))
    return MITIGATIONS.stack(frames)


def _without(side: Side, sides: Sequence[Side]) -> Side | None:
    """The side of the same method and proxy that has no mitigation; the first of several groups."""
    for each in sides:
        if (each.way.method, each.proxy) == (side.way.method, side.proxy) and not each.way.mitigation:
            return each
    return None


def _behaviour(
    each: RunCurves, known: Evidence, watched: Mapping[str, Headline]
) -> Mapping[str, ClusterSums]:
    """Cluster sums over a run's points of the behaviours `watched`."""
    clusters = pd.Index(known.items["cluster"].unique())
    parsed = np.isin(each.steps, list(each.answers))[:, None]
    return {
        measure: ClusterSums(np.where(parsed, hits, np.nan), votes.max(axis=0))
        for measure, (hits, votes) in tally(each, known, watched, clusters).items()
        if votes.any()
    }


def _watched(study: Study) -> dict[str, Headline]:
    """The headline behaviour, and what its probe says that a mitigation must not cost."""
    probe = headline_probe(study)
    if probe is None or probe.headline is None:
        return {}
    return {each.measure: each for each in (probe.headline, probe.worth_keeping) if each is not None}


MITIGATIONS = Table(
    "mitigations",
    "Runs with a mitigation (a) beside those without (b) at equal KL: one row per pair, score and KL.",
    (Column("mitigation", TEXT, "what `a` has"), *COMPARED),
    lambda study: mitigations(
        study.curves, evidence(study), _watched(study), study.counts, study.stream("mitigations")
    ),
)
