"""Intervals over replicates, and what a hump is: one definition each, for tables, sentences and figures.

A statement about a setting is about replicates (proxies with labels and heads of their own) that are all
measured on the same clusters of prompts (facts, or conversations). Both are samples: other labels and other
facts would have given other numbers. So the data are a table, replicates × clusters, and the variance of its
mean has a part of each,

    V  =  s²(replicates)/K  +  s²(clusters)/C  −  s²(rest)/(K·C),

where each s² is that of the means over the other side and the last, of what neither explains, is in both of
the first. The interval is a t interval, with degrees of freedom after Welch (1947) and Satterthwaite (1946):
with few replicates that differ it has K − 1. Two replicates of different fortunes are told apart from nothing
by an interval that is wide, as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums

LEVEL = 0.95
SPLITS = 20
"""Ways of halving the clusters that a hump is averaged over: which one would be luck."""
DRAWS = 400


def stacked(replicates: Sequence[ClusterSums], group: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Curves (replicates, groups, places) and the weight of each group, (groups,).

    Args:
        replicates: totals of (places, clusters), on the same clusters.
        group: what each cluster belongs to, (clusters,), from 0 without a gap: its fact.
    """
    of = np.zeros((len(group), int(group.max()) + 1))
    of[np.arange(len(group)), group] = 1.0
    weight = replicates[0].weight @ of
    return np.stack([(each.total @ of / weight).T for each in replicates]), weight


class Interval(NamedTuple):
    """A mean over replicates with its 95 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def above_zero(self) -> bool:
        """Whether it excludes 0 from above."""
        return self.lo > 0


def over_replicates(table: Floats, weight: Floats | None = None) -> Interval:
    """The mean of `table` (replicates, clusters) with the interval at the top of this file.

    With one replicate the interval is over clusters alone, and says nothing about another replicate.

    Args:
        table: NaN is a cell that was not measured; means go over what there is.
        weight: of each cluster, (clusters,); equal by default. The mean is then the weighted one, and a
            cluster's part of its variance that of a ratio estimator (Cochran 1977, §6.3).
    """
    measured = ~np.isnan(table).all(axis=0)
    table, weight = table[:, measured], None if weight is None else weight[measured]
    if weight is not None:
        share = weight / weight.mean()
        centre = np.nansum(table * weight) / np.sum(weight * ~np.isnan(table))
        table = centre + share * (table - centre)
    replicates, clusters = np.nanmean(table, axis=1), np.nanmean(table, axis=0)
    value = float(replicates.mean())
    k, c = len(replicates), len(clusters)
    by_replicate = replicates.var(ddof=1) / k if k > 1 else 0.0
    by_cluster = clusters.var(ddof=1) / c if c > 1 else 0.0
    if k > 1 and c > 1:
        rest = table - replicates[:, None] - clusters[None, :] + value
        by_neither = np.nansum(rest**2) / ((k - 1) * (c - 1)) / (k * c)
    else:
        by_neither = 0.0
    variance = max(by_replicate + by_cluster - by_neither, by_replicate, by_cluster)
    if variance == 0:
        return Interval(value, value, value) if k > 1 or c > 1 else Interval(value, -np.inf, np.inf)
    parts = [(by_replicate, k - 1), (by_cluster, c - 1)]
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts if part > 0)
    # Welch and Satterthwaite's degrees are those of a sum: no fewer than its scarcer part has by itself.
    freedom = max(freedom, min(degrees for part, degrees in parts if part > 0))
    half = float(student.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(variance))
    return Interval(value, value - half, value + half)


@dataclass(frozen=True)
class Hump:
    """Whether a curve rises and then falls; scores in s.d. of π_ref, KL in nats per sequence."""

    rise: Interval
    """From the first place to the peak."""
    fall: Interval
    """From the peak to the last place, counted downwards."""
    peak: Interval
    """KL at which the mean curve is highest, with a bootstrap interval: no law is asked."""
    inside: bool
    """Whether the highest place is neither the first nor the last."""

    @property
    def shown(self) -> bool:
        """A hump: both intervals exclude 0, and the curve is highest between its ends."""
        return self.inside and self.rise.above_zero and self.fall.above_zero


def hump(curves: Floats, kl: Floats, rng: np.random.Generator, weight: Floats | None = None) -> Hump:
    """The hump of a setting.

    The highest of many noisy places is too high where it was chosen, and a fall measured from it would be
    found in noise. So the peak is chosen on one half of the clusters and both differences are measured on the
    other, each half in turn, over `SPLITS` ways of halving: a badly chosen peak hides a fall, and invents
    none.

    Args:
        curves: (replicates, clusters, places), π_ref first, in the order of KL.
        kl: (places,), or (replicates, places) where each replicate spent its own.
        rng: halves the clusters and draws the bootstrap.
        weight: of each cluster, (clusters,); equal by default.
    """
    gain = curves - curves[:, :, :1]
    clusters = gain.shape[1]
    weight = np.ones(clusters) if weight is None else weight
    rises, falls = np.zeros(gain.shape[:2]), np.zeros(gain.shape[:2])
    for _ in range(SPLITS):
        halves = np.array_split(rng.permutation(clusters), 2)
        for chosen_on, measured_on in (halves, halves[::-1]):
            peak = int(_mean_curve(gain[:, chosen_on], weight[chosen_on]).argmax())
            rises[:, measured_on] += gain[:, measured_on, peak] / SPLITS
            falls[:, measured_on] += (gain[:, measured_on, peak] - gain[:, measured_on, -1]) / SPLITS
    highest = int(_mean_curve(gain, weight).argmax())
    return Hump(
        over_replicates(rises, weight),
        over_replicates(falls, weight),
        _peak(gain, np.broadcast_to(kl, (len(gain), gain.shape[2])), weight, rng),
        0 < highest < gain.shape[2] - 1,
    )


def _mean_curve(gain: Floats, weight: Floats) -> Floats:
    """The mean curve (places,) of `gain` (replicates, clusters, places), weighted by cluster."""
    weighed = weight[:, None] * ~np.isnan(gain)
    return np.asarray(np.nansum(gain * weight[:, None], axis=(0, 1)) / weighed.sum(axis=(0, 1)))


def _peak(gain: Floats, kl: Floats, weight: Floats, rng: np.random.Generator) -> Interval:
    """KL of the highest place of the mean curve, with percentile bounds over replicates and clusters."""
    replicates, clusters, _ = gain.shape

    def at(drawn: NDArray[np.int64], times: Floats) -> float:
        return float(kl[drawn].mean(axis=0)[_mean_curve(gain[drawn], weight * times).argmax()])

    value = at(np.arange(replicates, dtype=np.int64), np.ones(clusters))
    counts = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=DRAWS).astype(float)
    seeds = rng.integers(replicates, size=(DRAWS, replicates))
    lo, hi = np.quantile(
        [at(chosen, times) for chosen, times in zip(seeds, counts, strict=True)],
        [0.5 - LEVEL / 2, 0.5 + LEVEL / 2],
    )
    return Interval(value, float(min(lo, value)), float(max(hi, value)))
