"""Nested resampling: seeds, then prompts.

The replicates never touch the data: a replicate says what each run weighs and how often each cluster of
prompts was drawn, and every estimate here is a ratio of sums that these weigh. So a thousand replicates of a
whole curve are one matrix product.

With one seed that level has nothing to vary: the interval then covers less than it would with more, and the
number of seeds must be said beside it.
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


def draw_clusters(rng: np.random.Generator, clusters: int, replicates: int = REPLICATES) -> Floats:
    """How often each cluster is drawn in each replicate: (replicates, clusters), rows sum to `clusters`."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates).astype(float)


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


def draw_shares(
    rng: np.random.Generator,
    sides: Sequence[Sequence[Hashable]],
    replicates: int = REPLICATES,
    *,
    joint: bool = False,
) -> list[Floats]:
    """What each run weighs in a mean over seeds, seeds varied: per side (replicates, runs), rows sum to 1.

    The units are proxy seeds or, under a single one, its runs: runs of one proxy are no replicates of the
    setting. A weighted mean of runs then varies around their mean as a t with K − 1 degrees of freedom does
    around its own, scaled by its standard error (see `UnitDraws`); some shares are negative. One unit does
    not vary.

    Args:
        sides: the proxy seed of each run of each side.
        joint: the same seed varies alike on every side: what is compared is paired by it.
    """
    normal: dict[Hashable, Floats] = {}
    uniform = rng.uniform(size=replicates)
    shares = []
    for seeds in sides:
        by_proxy = len(set(seeds)) > 1
        units = list(seeds) if by_proxy else list(range(len(seeds)))
        names = list(dict.fromkeys(units))
        if not joint:
            normal, uniform = {}, rng.uniform(size=replicates)
        for name in names:
            normal.setdefault(name, rng.standard_normal(replicates))
        share = np.full((replicates, len(names)), 1 / len(names))
        if len(names) > 1:
            z = np.stack([normal[name] for name in names], axis=1)
            scale = UnitDraws(z, uniform).inflation(len(names) - 1) / np.sqrt(len(names) * (len(names) - 1))
            share += scale[:, None] * (z - z.mean(axis=1, keepdims=True))
        place = np.array([names.index(unit) for unit in units])
        shares.append(share[:, place] / np.bincount(place)[place])
    return shares


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
