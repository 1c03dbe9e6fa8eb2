"""Resampling: agreement with exact formulas, and seeds as the units that vary."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from analysis.estimators.bootstrap import (
    ClusterSums,
    cluster_mean_ci,
    draw_clusters,
    draw_shares,
    percentile_interval,
)


def test_standard_error_matches_resampling_of_weighted_clustered_items() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(120), 4)
    shared = rng.standard_normal(120)[cluster]
    values = shared + 0.5 * rng.standard_normal(480)
    weight = np.tile([0.5, 0.1, 0.3, 0.1], 120)
    sums = ClusterSums.of(values, weight, cluster)
    assert np.isclose(sums.mean(), np.average(values, weights=weight))
    resampled = sums.replicate(draw_clusters(rng, 120, 4000))
    assert np.isclose(sums.standard_error(), resampled.std(), rtol=0.05)
    # Taking the four items of a cluster for independent would halve the error.
    naive = ClusterSums.of(values, weight, np.arange(480)).standard_error()
    assert naive < 0.75 * sums.standard_error()


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        values = rng.exponential(size=100)
        lo, hi = cluster_mean_ci(values, np.ones(100), np.arange(100), rng, replicates=300)
        covered += lo <= 1.0 <= hi
    assert 0.90 <= covered / 300 <= 0.98


def test_a_mean_over_seeds_varies_as_students_t_does() -> None:
    """Proxy seeds are the units where there are several; else the runs of the only one."""
    rng = np.random.default_rng(2)
    for seeds, units in (([0, 0, 1, 1, 2, 2], 3), (["only"] * 4, 4)):
        value = rng.standard_normal(len(seeds))
        if units == 3:
            value = value[[0, 0, 2, 2, 4, 4]]
        (shares,) = draw_shares(rng, [seeds], 40_000)
        assert np.allclose(shares.sum(axis=1), 1)
        lo, hi = percentile_interval(shares @ value)
        own = np.unique(value)
        half = student.ppf(0.975, units - 1) * own.std(ddof=1) / units**0.5
        assert np.isclose(hi - lo, 2 * half, rtol=0.05) and np.isclose((lo + hi) / 2, own.mean(), atol=0.05)


def test_what_is_compared_under_the_same_seeds_is_paired_by_them() -> None:
    rng = np.random.default_rng(3)
    one, other = draw_shares(rng, [(0, 1, 2), (2, 0, 1)], 50, joint=True)
    assert np.allclose(one, other[:, [1, 2, 0]])
    one, other = draw_shares(rng, [(0, 1, 2), (0, 1, 2)], 50)
    assert not np.allclose(one, other)


def test_one_run_does_not_vary() -> None:
    assert (draw_shares(np.random.default_rng(3), [["only"]], 50)[0] == 1).all()


def test_percentile_interval_of_a_known_sample() -> None:
    lo, hi = percentile_interval(np.linspace(0, 1, 1001)[:, None])
    assert np.allclose([lo[0], hi[0]], [0.025, 0.975])
