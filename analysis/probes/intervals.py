"""Intervals of what is no plain share: differences of two shares, means without bounds, and anything else.

All of them resample or vary whole clusters, since a fact's matched conditions are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import draw_clusters
from analysis.probes.base import NOTHING, Rate, Z, wilson

REPLICATES = 400
_SEED = 1979


def mean(votes: Floats) -> Rate:
    """Mean of votes on any scale, NaN for none, with the normal interval over clusters."""
    votes = votes[~np.isnan(votes)]
    if len(votes) < 2:
        return NOTHING
    value = float(votes.mean())
    half = Z * float(votes.std(ddof=1)) / float(np.sqrt(len(votes)))
    return Rate(value, value - half, value + half, len(votes))


def difference(votes: Floats, floor: Floats) -> Rate:
    """mean(votes) − mean(floor), both in [0, 1] and on the same clusters, with Newcombe's interval.

    Newcombe 1998 (Statistics in Medicine 17:2635, method 10): the two Wilson intervals combined, less what
    the pairing explains. Unlike a resampled interval it keeps a width where no cluster shows the behaviour.
    """
    here, there = wilson(votes), wilson(floor)
    if not here.clusters or not there.clusters:
        return NOTHING
    both = ~np.isnan(votes) & ~np.isnan(floor)
    pairing = _correlation(votes[both], floor[both]) * both.sum() / np.sqrt(here.clusters * there.clusters)

    def half(a: float, b: float) -> float:
        return float(np.sqrt(max(a**2 - 2 * pairing * a * b + b**2, 0.0)))

    value = here.value - there.value
    return Rate(
        value,
        value - half(here.value - here.lo, there.hi - there.value),
        value + half(here.hi - here.value, there.value - there.lo),
        min(here.clusters, there.clusters),
    )


def paired_difference(votes: Floats, control: Floats) -> Rate:
    """`difference` over the clusters that vote in both: where only some completions count, a cluster may have
    a vote in one condition alone."""
    both = ~np.isnan(votes) & ~np.isnan(control)
    return difference(votes[both], control[both])


def _correlation(a: Floats, b: Floats) -> float:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def resampled(statistic: Callable[[Floats], Floats], clusters: int, counted: int) -> Rate:
    """Any statistic of the clusters, with a normal interval of its bootstrap standard error.

    `statistic` maps how often each cluster is drawn, (replicates, clusters), to (replicates,); NaN where a
    replicate has none. `counted` of the clusters carry it.
    """
    value = float(statistic(np.ones((1, clusters)))[0])
    if not np.isfinite(value):
        return NOTHING
    replicates = statistic(_draws(clusters))
    half = Z * float(np.nanstd(replicates))
    return Rate(value, value - half, value + half, counted)


@lru_cache(maxsize=4)
def _draws(clusters: int) -> Floats:
    """The same draws at every point, so that a curve's interval does not jitter."""
    return draw_clusters(np.random.default_rng([_SEED, clusters]), clusters, REPLICATES)


def resampled_mean(votes: Floats, counts: Floats) -> Floats:
    """The mean vote in each replicate, (replicates,)."""
    has = ~np.isnan(votes)
    drawn = counts @ has
    return np.divide(
        counts @ np.where(has, votes, 0.0), drawn, out=np.full(len(counts), np.nan), where=drawn > 0
    )


def weighted_spearman(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Spearman's rank correlation of `x` and `y`, (clusters,), each cluster taken as often as `counts` says.

    Ties share the mean of their ranks, in every replicate anew; NaN where a replicate has no spread.
    """
    a, b = _ranks(x, counts), _ranks(y, counts)
    total = counts.sum(axis=1)
    a -= ((a * counts).sum(axis=1) / total)[:, None]
    b -= ((b * counts).sum(axis=1) / total)[:, None]
    spread = np.sqrt((counts * a**2).sum(axis=1) * (counts * b**2).sum(axis=1))
    covered = (counts * a * b).sum(axis=1)
    return np.divide(covered, spread, out=np.full(len(counts), np.nan), where=spread > 1e-9 * total)


def _ranks(values: Floats, counts: Floats) -> Floats:
    """Mid-ranks of `values` (clusters,) under each row of `counts`: (replicates, clusters)."""
    _, code = np.unique(values, return_inverse=True)
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(code.max() + 1))
    tied = np.add.reduceat(counts[:, order], starts, axis=1)
    return np.asarray((np.cumsum(tied, axis=1) - tied / 2)[:, code])
