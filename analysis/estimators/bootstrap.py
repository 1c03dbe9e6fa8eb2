"""Nested resampling: proxy seed, then policy seed, then prompts.

The replicates never touch the data: a replicate is a set of *multiplicities*, how often each run and each
cluster of prompts was drawn, and every estimate here is a ratio of sums that multiplicities weight. So a
thousand replicates of a whole curve are one matrix product.

With one proxy seed, or one policy seed, that level has nothing to resample: the interval then covers less
than it would with more, and the number of seeds must be said beside it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from analysis.estimators.arrays import Floats

REPLICATES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    lo: float
    hi: float


class Difference(NamedTuple):
    """A paired difference with its interval."""

    value: float
    lo: float
    hi: float


def draw_clusters(rng: np.random.Generator, clusters: int, replicates: int = REPLICATES) -> Floats:
    """How often each cluster is drawn in each replicate: (replicates, clusters), rows sum to `clusters`."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates).astype(float)


def draw_runs(
    rng: np.random.Generator, proxy_seeds: Sequence[Hashable], replicates: int = REPLICATES
) -> Floats:
    """How often each run is drawn: (replicates, runs). Run r was optimised against proxy seed
    `proxy_seeds[r]`.

    Proxy seeds are drawn with replacement; within every draw of one, its runs are drawn with replacement.
    """
    members = [
        np.flatnonzero([seed == other for other in proxy_seeds]) for seed in dict.fromkeys(proxy_seeds)
    ]
    counts = np.zeros((replicates, len(proxy_seeds)))
    for replicate in range(replicates):
        for drawn in rng.integers(len(members), size=len(members)):
            runs = members[drawn]
            np.add.at(counts[replicate], rng.choice(runs, size=len(runs)), 1)
    return counts


class UnitDraws(NamedTuple):
    """What it takes to vary the units of replication (seeds) of an estimate, drawn once per curve.

    Drawing K seeds with replacement would give a spread too narrow by (K-1)/K, in K steps, with a normal's
    tails. Instead each unit's influence on the estimate gets a normal multiplier, and the whole spread is
    divided by a chi with as many degrees of freedom as its variance was estimated with.
    """

    normal: Floats
    """(replicates, units)."""
    uniform: Floats
    """(replicates,)."""

    @classmethod
    def draw(cls, rng: np.random.Generator, units: int, replicates: int = REPLICATES) -> UnitDraws:
        return cls(rng.standard_normal((replicates, units)), rng.uniform(size=replicates))

    def inflation(self, freedom: float) -> Floats:
        """sqrt(ν/χ²_ν) per replicate: times a normal it makes a t with ν = `freedom`."""
        return np.asarray(np.sqrt(freedom / chi2.ppf(self.uniform, freedom)))


def percentile_interval(replicates: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper percentile bounds over axis 0; NaN wherever any replicate is NaN."""
    tail = (1 - level) / 2
    lo, hi = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return lo, hi


class ClusterSums(NamedTuple):
    """Weighted sums per cluster, all that a resampled weighted mean needs."""

    total: Floats
    """Sum of weight x value: (..., clusters)."""
    weight: Floats
    """Sum of weights: (clusters,)."""

    @classmethod
    def of(cls, values: Floats, weight: Floats, cluster: NDArray[np.intp]) -> ClusterSums:
        """From `values` (..., items), `weight` (items,) and cluster codes 0..C-1 (items,)."""
        clusters = int(cluster.max()) + 1
        indicator = np.zeros((len(cluster), clusters))
        indicator[np.arange(len(cluster)), cluster] = weight
        return cls(values @ indicator, indicator.sum(axis=0))

    def mean(self) -> Floats:
        """The weighted mean: (...)."""
        return np.asarray(self.total.sum(axis=-1) / self.weight.sum())

    def standard_error(self) -> Floats:
        """Standard error of `mean`, clustered: the linearised ratio estimator with C/(C-1)."""
        clusters = len(self.weight)
        if clusters < 2:
            return np.full(self.total.shape[:-1], np.nan)
        residual = self.total - self.mean()[..., None] * self.weight
        variance = clusters / (clusters - 1) * (residual**2).sum(axis=-1)
        return np.asarray(np.sqrt(variance) / self.weight.sum())

    def replicate(self, counts: Floats) -> Floats:
        """Resampled means under `counts` (replicates, clusters): (replicates, ...); NaN where a draw holds no
        cluster of any weight."""
        drawn = self.weight @ counts.T
        means = (self.total @ counts.T) / np.where(drawn > 0, drawn, np.nan)
        return np.asarray(np.moveaxis(means, -1, 0))

    def part(self, keep: NDArray[np.bool_]) -> ClusterSums:
        """Only the clusters marked in `keep`."""
        return ClusterSums(self.total[..., keep], self.weight[keep])


def cluster_mean_ci(
    values: Floats,
    weight: Floats,
    cluster: NDArray[np.intp],
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> Interval:
    """Percentile interval of a weighted mean, resampling clusters of items."""
    sums = ClusterSums.of(values, weight, cluster)
    lo, hi = percentile_interval(sums.replicate(draw_clusters(rng, len(sums.weight), replicates)))
    return Interval(float(lo), float(hi))


class Hump(NamedTuple):
    """Does a curve rise and then fall?"""

    peak: int
    """Where the curve is highest: an index, chosen on all prompts."""
    rise: Difference
    """Peak minus first."""
    fall: Difference
    """Last minus peak."""

    @property
    def inside(self) -> bool:
        """Both differences exclude 0: it rose first, and fell afterwards."""
        return self.rise.lo > 0 and self.fall.hi < 0


def hump(curve: ClusterSums, rng: np.random.Generator, folds: int = 5, replicates: int = REPLICATES) -> Hump:
    """Rise to the peak and fall after it, with intervals, of a curve whose total is (points, clusters).

    The highest of many noisy points is too high, so `last - peak` measured where the peak was chosen
    finds a fall in pure noise. Hence cross-fitting: the peak is chosen on all folds of clusters but one
    and both differences measured on that one, in turn; their mean is what is reported, and each replicate
    does the whole of it anew. A badly chosen peak can then only hide a fall, never invent one. NaN points
    are never chosen.
    """
    clusters = len(curve.weight)
    fold = rng.permutation(np.arange(clusters) % min(folds, clusters))
    everything = np.ones((1, clusters))
    # Resampled within folds, so that a cluster never both chooses and measures and no fold is ever empty.
    counts = np.zeros((replicates, clusters))
    for k in range(fold.max() + 1):
        counts[:, fold == k] = draw_clusters(rng, int((fold == k).sum()), replicates)
    rise, fall = _cross_fitted(curve, everything, fold)
    rises, falls = _cross_fitted(curve, counts, fold)
    differences = [
        Difference(float(value[0]), *(float(x) for x in percentile_interval(spread)))
        for value, spread in ((rise, rises), (fall, falls))
    ]
    return Hump(int(np.nanargmax(curve.mean())), *differences)


def _cross_fitted(curve: ClusterSums, counts: Floats, fold: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """(peak - first, last - peak) per row of `counts`, averaged over the folds."""
    rows = np.arange(len(counts))
    rise = np.zeros(len(counts))
    fall = np.zeros(len(counts))
    folds = fold.max() + 1
    for k in range(folds):
        here = fold == k
        chosen = np.nanargmax(curve.part(~here).replicate(counts[:, ~here]), axis=1)
        measured = curve.part(here).replicate(counts[:, here])
        rise += (measured[rows, chosen] - measured[:, 0]) / folds
        fall += (measured[:, -1] - measured[rows, chosen]) / folds
    return rise, fall
