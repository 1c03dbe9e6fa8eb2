"""Intervals over replicates hold what they say, and a hump is found where there is one and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimators.replicates import Interval, hump, over_replicates

CLUSTERS = 30


def tables(
    rng: np.random.Generator, times: int, k: int, replicate: float, cluster: float, rest: float
) -> np.ndarray:
    """(times, k, CLUSTERS) of mean 0, with these standard deviations."""
    of_replicates = replicate * rng.normal(size=(times, k, 1))
    of_clusters = cluster * rng.normal(size=(times, 1, CLUSTERS))
    return of_replicates + of_clusters + rest * rng.normal(size=(times, k, CLUSTERS))


@pytest.mark.parametrize("k", [2, 3, 5, 8])
@pytest.mark.parametrize(("replicate", "cluster"), [(1.0, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_of_twenty_intervals_one_misses(k: int, replicate: float, cluster: float) -> None:
    drawn = tables(np.random.default_rng(1), 1500, k, replicate, cluster, rest=0.1)
    found = [over_replicates(table) for table in drawn]
    covered = np.mean([each.lo <= 0 <= each.hi for each in found])
    assert 0.925 < covered < 0.975, covered


def test_two_replicates_that_disagree_say_little() -> None:
    table = np.array([np.zeros(CLUSTERS), np.ones(CLUSTERS)])
    found = over_replicates(table)
    assert found.value == 0.5 and found.hi - found.lo > 12 * 0.5 * 2**0.5  # t on one degree of freedom


def test_one_replicate_has_an_interval_over_clusters_alone() -> None:
    table = np.random.default_rng(0).normal(size=(1, CLUSTERS))
    found = over_replicates(table)
    half = 2.045 * table.std(ddof=1) / CLUSTERS**0.5
    assert found.hi - found.value == pytest.approx(half, rel=1e-3)


def test_a_cluster_of_weight_two_counts_as_two() -> None:
    rng = np.random.default_rng(2)
    table, weight = rng.normal(size=(4, CLUSTERS)), rng.integers(1, 4, size=CLUSTERS).astype(float)
    found = over_replicates(table, weight)
    assert found.value == pytest.approx(np.average(table.mean(axis=0), weights=weight))
    same = over_replicates(table, np.full(CLUSTERS, 7.0))
    assert same == pytest.approx(over_replicates(table))


def test_what_was_not_measured_is_left_out() -> None:
    table = np.tile(np.arange(CLUSTERS, dtype=float), (3, 1))
    table[:, -1] = np.nan
    assert over_replicates(table).value == pytest.approx((CLUSTERS - 2) / 2)


def curves(rng: np.random.Generator, shape: np.ndarray, noise: float = 0.4, k: int = 5) -> np.ndarray:
    """Curves (k, CLUSTERS, places) around `shape`: clusters and replicates differ, and points are noisy."""
    slope = 1 + 0.2 * rng.normal(size=(k, CLUSTERS, 1))
    return shape * slope + noise * rng.normal(size=(k, CLUSTERS, len(shape)))


KL = np.linspace(0, 4, 9)
RISES = KL / 4
PEAKS = 0.8 * (1 - ((KL - 1.5) / 1.5) ** 2).clip(-1)


def test_a_hump_is_measured_with_its_peak() -> None:
    found = hump(curves(np.random.default_rng(3), PEAKS), KL, np.random.default_rng(4))
    assert found.shown and found.peak.value == 1.5 and found.peak.lo <= 1.5 <= found.peak.hi
    assert found.rise.lo < 0.8 < found.rise.hi and found.fall.lo < 1.6 < found.fall.hi


@pytest.mark.parametrize("shape", [np.zeros(9), RISES, -RISES], ids=["flat", "rises", "falls"])
def test_where_there_is_no_hump_none_is_invented(shape: np.ndarray) -> None:
    """Also with clusters that move together, as questions about one fact do."""
    rng, shown = np.random.default_rng(5), 0
    for _ in range(60):
        common = 0.55 * rng.normal(size=(1, CLUSTERS, len(shape)))  # correlation .3 with noise .84
        shown += hump(curves(rng, shape, noise=0.84) + common, KL, np.random.default_rng(6)).shown
    assert shown <= 3


def test_the_peak_comes_in_the_kl_that_was_spent() -> None:
    kl = np.stack([KL, 2 * KL])
    found = hump(curves(np.random.default_rng(7), PEAKS, k=2), kl, np.random.default_rng(8))
    assert found.peak.value == pytest.approx(1.5 * 1.5)
    assert isinstance(found.peak, Interval)
