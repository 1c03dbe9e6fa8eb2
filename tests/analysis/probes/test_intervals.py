"""Intervals of differences, means and rank correlations keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.probes.base import wilson
from analysis.probes.intervals import difference, mean, resampled, resampled_mean, weighted_spearman


def _pairs(rng: np.random.Generator, clusters: int, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Votes with rates 0.3 and 0.2; in a share of the clusters one draw decides both."""
    u, v = rng.random(clusters), rng.random(clusters)
    v = np.where(rng.random(clusters) < shared, u, v)
    return (u < 0.3).astype(float), (v < 0.2).astype(float)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_interval_of_a_difference_covers_it(shared: float) -> None:
    rng = np.random.default_rng(0)
    read = [difference(*_pairs(rng, 150, shared)) for _ in range(600)]
    covered = np.mean([r.lo <= 0.1 <= r.hi for r in read])
    assert 0.92 < covered < 0.98
    # Paired facts say more than unpaired ones.
    unpaired = [difference(*_pairs(rng, 150, 0.0)) for _ in range(50)]
    width, plain = (np.mean([r.hi - r.lo for r in each]) for each in (read, unpaired))
    assert width < 0.75 * plain if shared else width == pytest.approx(plain, rel=0.05)


def test_a_difference_of_nothing_still_has_a_width() -> None:
    read = difference(np.zeros(100), np.zeros(100))
    assert read.value == 0 and read.lo < 0 < read.hi
    assert read.hi == pytest.approx(np.hypot(wilson(np.zeros(100)).hi, 0))


def test_clusters_without_a_vote_in_an_arm_do_not_count_there() -> None:
    votes, floor = np.array([1.0, 0.0, np.nan]), np.array([np.nan, 0.0, 1.0])
    read = difference(votes, floor)
    assert read.value == 0 and read.clusters == 2
    assert np.isnan(difference(votes, np.full(3, np.nan)).value)


def test_a_mean_without_bounds() -> None:
    read = mean(np.array([1.0, 3.0, np.nan]))
    assert read.value == 2 and read.clusters == 2 and read.hi - read.lo == pytest.approx(2 * 1.96, abs=0.01)
    assert np.isnan(mean(np.array([1.0])).value)


def test_a_resampled_mean_has_the_usual_standard_error() -> None:
    votes = np.random.default_rng(1).normal(size=300)
    votes[:50] = np.nan
    read = resampled(lambda counts: resampled_mean(votes, counts), 300, 250)
    usual = mean(votes)
    assert read.value == pytest.approx(usual.value) and read.clusters == 250
    assert read.hi - read.lo == pytest.approx(usual.hi - usual.lo, rel=0.12)
    assert read == resampled(lambda counts: resampled_mean(votes, counts), 300, 250)


def test_the_rank_correlation_is_spearmans_on_what_was_drawn() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 4, 40).astype(float), rng.integers(0, 6, 40).astype(float)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=5).astype(float)
    got = weighted_spearman(x, y, counts)
    for row, value in zip(counts.astype(int), got, strict=True):
        assert value == pytest.approx(spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic)
    assert np.isnan(weighted_spearman(np.zeros(40), y, counts)).all()
