"""Resampling: agreement with exact formulas, nesting, and no fall found in noise."""

from __future__ import annotations

import numpy as np

from analysis.estimators.bootstrap import (
    ClusterSums,
    cluster_mean_ci,
    draw_clusters,
    draw_runs,
    hump,
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


def test_runs_are_drawn_within_the_proxy_seeds_that_were_drawn() -> None:
    seeds = [0, 0, 0, 1, 1]
    drawn = draw_runs(np.random.default_rng(2), seeds, 500)
    first, second = drawn[:, :3].sum(axis=1), drawn[:, 3:].sum(axis=1)
    # Two draws of a proxy seed: its three (or two) runs come as often as it does.
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(6.0, 0.0), (3.0, 2.0), (0.0, 4.0)}
    assert np.isclose((first == 3).mean(), 0.5, atol=0.07)


def test_a_single_run_is_always_drawn_once() -> None:
    assert (draw_runs(np.random.default_rng(3), ["only"], 50) == 1).all()


def test_percentile_interval_of_a_known_sample() -> None:
    lo, hi = percentile_interval(np.linspace(0, 1, 1001)[:, None])
    assert np.allclose([lo[0], hi[0]], [0.025, 0.975])


def _curve(rng: np.random.Generator, mean: np.ndarray, clusters: int = 100) -> ClusterSums:
    noise = rng.standard_normal((len(mean), clusters))
    return ClusterSums(mean[:, None] + noise, np.ones(clusters))


def test_planted_hump_is_found_with_its_size() -> None:
    mean = np.array([0.0, 0.6, 1.0, 0.7, 0.2])
    found = hump(_curve(np.random.default_rng(4), mean, 200), np.random.default_rng(5))
    assert found.peak == 2 and found.inside
    assert found.rise.lo < 1.0 < found.rise.hi
    assert found.fall.lo < -0.8 < found.fall.hi


def test_a_flat_noisy_tail_is_rarely_called_a_fall() -> None:
    """Choosing the peak where it is measured would see a fall in most of these."""
    mean = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    falls = 0
    for trial in range(100):
        rng = np.random.default_rng([6, trial])
        falls += hump(_curve(rng, mean), rng, replicates=300).fall.hi < 0
    assert falls <= 7


def test_a_monotone_curve_has_no_peak_inside() -> None:
    mean = np.linspace(0, 3, 8)
    found = hump(_curve(np.random.default_rng(7), mean), np.random.default_rng(8))
    assert found.peak == 7 and not found.inside and found.rise.lo > 0
