"""The table of points: every run at every step, with its scores and every measure of every probe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import draw_clusters, percentile_interval
from analysis.probes import PROBES, Evidence
from analysis.probes.evidence import evidence, find_refusals, read_evidence, refusals
from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves
from analysis.study.columns import RUN, SQRT_KL, STEP_OF
from analysis.study.table import COUNT, NATS, SD, SHARE, TOKENS, Column, Table

LIVE_REPLICATES = 100
"""Enough for a rough interval while a run is going on."""
RUN_COLUMNS = tuple(column.name for column in RUN)

SCORE_COLUMNS = (
    Column("kl", NATS, "KL from the reference policy, per sequence", interval=True, error=True, title="KL"),
    Column("proxy_score", SD, "the run's own proxy", interval=True, error=True),
    Column("gold", SD, "gold", interval=True, error=True),
    Column("oracle", SD, "oracle", interval=True, error=True),
    Column("reward", SD, "what was optimised: the proxy, shaped and capped", interval=True, error=True),
    Column("win_rate", SHARE, "samples that gold prefers to one of π_ref on the same prompt, ties one half",
           interval=True, error=True),
)  # fmt: skip
SAMPLE_COLUMNS = (
    Column("k1", NATS, "Σ log π/π_ref over the sampled tokens"),
    Column("k2", NATS, "Σ ½ (log π/π_ref)²"),
    Column("k3", NATS, "Σ (π_ref/π − 1 − log π_ref/π)"),
    Column("kl_reverse", NATS, "KL(π_ref‖π) along the sampled prefixes"),
    Column("k1_clamped", NATS, "Σ max(log π/π_ref, 0)"),
    Column("k2_prompt", NATS, "k2 of the prompt's own tokens"),
    Column("length", TOKENS, "length of the completion, EOS included"),
    Column("finished", SHARE, "completions that end by themselves"),
)
KNOWN_CLUSTERS = Column("known_clusters", COUNT, "size of K_ref: clusters that π_ref is known to answer")


def rate_columns() -> tuple[Column, ...]:
    """One column per measure of every probe."""
    return tuple(
        Column(name, SHARE, words, interval=True)
        for probe in PROBES.values()
        for name, words in probe.measures.items()
    )


def _points(
    curves: Sequence[RunCurves], counts: Floats, known: Evidence, why_not: Mapping[str, str | None]
) -> pd.DataFrame:
    frames = []
    for each in curves:
        frame = _curves(each, counts)
        for place, (name, value) in enumerate(each.run.settings(*RUN_COLUMNS).items()):
            frame.insert(place, name, value)
        rates = [_rates(each, int(step), known, why_not) for step in each.steps]
        frames.append(pd.concat([frame, pd.DataFrame(rates, index=frame.index)], axis=1))
    points = POINTS.stack(
        frame.assign(known_clusters=len(known.known) if known.reference is not None else np.nan)
        for frame in frames
    )
    return points.astype({"budget": float}).copy()  # in one piece again: so many columns are slow in many


def _curves(each: RunCurves, counts: Floats) -> pd.DataFrame:
    """The scores and sample statistics of a run, one row per point; `counts`: (replicates, clusters)."""
    columns: dict[str, NDArray[np.generic]] = {"step": each.steps}
    for name in (column.name for column in SCORE_COLUMNS):
        sums = each.sums["proxy" if name == "proxy_score" else name]
        lo, hi = percentile_interval(sums.replicate(counts))
        columns |= {
            name: sums.mean(),
            f"{name}_se": sums.standard_error(),
            f"{name}_lo": lo,
            f"{name}_hi": hi,
        }
    for name in (column.name for column in SAMPLE_COLUMNS):
        columns[name] = each.sums[name].mean()
    columns["sqrt_kl"] = np.sqrt(np.maximum(each.sums["kl"].mean(), 0))
    return pd.DataFrame(columns)


def _rates(
    each: RunCurves, step: int, known: Evidence, why_not: Mapping[str, str | None]
) -> dict[str, float]:
    """Every measure of every probe at one point, NaN where it cannot be had."""
    row = {name: np.nan for column in rate_columns() for name in column.names}
    for name, probe in PROBES.items():
        if why_not[name] is not None or step not in each.answers:
            continue
        for measure, rate in probe.measure(known, each.answers.get(0), each.answers[step]).items():
            row |= {measure: rate.value, f"{measure}_lo": rate.lo, f"{measure}_hi": rate.hi}
    return row


POINTS = Table(
    "points",
    "One row per run and point. A measure of a probe is a share of clusters unless its words say otherwise.",
    lambda: (*RUN, STEP_OF, SQRT_KL, *SCORE_COLUMNS, *SAMPLE_COLUMNS, *rate_columns(), KNOWN_CLUSTERS),
    lambda study: _points(study.curves, study.counts, evidence(study), refusals(study)),
)


def points_of(
    experiment: Experiment, run_id: str, *, steps: Collection[int] | None = None, seed: int = 0
) -> pd.DataFrame:
    """The rows of `POINTS` for one run, without the cost of all the others: for following it live.

    Given `steps`, only these points are read, and point 0, which all others are compared with.
    """
    run = next(each for each in experiment.runs if each.run_id == run_id)
    counts = draw_clusters(
        np.random.default_rng(seed), experiment.items["cluster"].nunique(), LIVE_REPLICATES
    )
    wanted = [point for point in run.points if steps is None or point.step in {0, *steps}]
    curves, known = [RunCurves.read(experiment, run, wanted)], read_evidence(experiment)
    return _points(curves, counts, known, find_refusals(known, curves))
