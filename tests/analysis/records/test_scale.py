"""Win rates count every pair once; scores are put on a scale one scorer at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from analysis.records.scale import TIE, standardise, win_rates


def by_hand(score: np.ndarray, item: np.ndarray, start: np.ndarray, start_item: np.ndarray) -> list[float]:
    rates = []
    for each in range(item.max() + 1):
        pairs = list(product(score[item == each], start[start_item == each]))
        rates.append(float(np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])))
    return rates


@pytest.mark.parametrize("seed", range(5))
def test_every_pair_of_samples_counts_once_and_ties_count_half(seed: int) -> None:
    """Uneven numbers of samples per item, in any order, on a grid of values that ties often."""
    rng = np.random.default_rng(seed)
    item, start_item = (np.concatenate([np.arange(6), rng.integers(6, size=n)]) for n in (9, 14))
    rng.shuffle(item)
    rng.shuffle(start_item)
    score, start = (rng.integers(4, size=len(each)).astype(float) for each in (item, start_item))
    won = win_rates(score, item, start, start_item, unit=1.0)
    np.testing.assert_allclose(won, by_hand(score, item, start, start_item))
    lost = win_rates(start, start_item, score, item, unit=1.0)
    np.testing.assert_allclose(won + lost, 1)


def test_the_reference_policy_wins_half_of_its_own_games() -> None:
    score, item = np.random.default_rng(0).standard_normal(40), np.repeat(np.arange(8), 5)
    np.testing.assert_allclose(win_rates(score, item, score, item, unit=1.0), 0.5)


def test_last_digits_are_a_tie() -> None:
    item, score = np.arange(3), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(win_rates(score + 0.4 * TIE, item, score, item, unit=1.0), 0.5)
    np.testing.assert_allclose(win_rates(score + 4 * TIE, item, score, item, unit=1.0), 1.0)


def test_a_win_rate_is_the_normal_one_for_normal_scores() -> None:
    """P(N(μ, 1) > N(0, 1)) = Φ(μ/√2)."""
    rng, item = np.random.default_rng(1), np.repeat(np.arange(400), 20)
    start, score = rng.standard_normal((2, len(item)))
    won = win_rates(score + 0.5, item, start, item, unit=1.0)
    assert won.mean() == pytest.approx(0.638, abs=0.006)


def test_a_scale_of_its_own() -> None:
    values = np.random.default_rng(2).standard_normal((30, 4))
    np.testing.assert_allclose(standardise(5 + 3 * values), standardise(values))
    assert np.isnan(standardise(np.ones(4))).all()
