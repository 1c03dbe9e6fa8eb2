"""The best-of-n estimator and its KL, against enumeration of everything that a sampler could do."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from analysis.pool.best_of_n import Pool, grid, kl_bound, rank_weights


def _enumerated(proxy: np.ndarray, score: np.ndarray, n: int) -> float:
    """Mean over all n-subsets of the pool of the mean score of the proxy's (tied) favourites."""
    picks = []
    for subset in combinations(range(len(proxy)), n):
        chosen = np.array(subset)
        best = chosen[proxy[chosen] == proxy[chosen].max()]
        picks.append(score[best].mean())
    return float(np.mean(picks))


@pytest.mark.parametrize("levels", [1, 2, 4, 1000], ids=lambda k: f"{k} proxy values")
def test_expected_score_equals_enumeration_of_all_subsets(levels: int) -> None:
    rng = np.random.default_rng(levels)
    proxy = rng.integers(levels, size=(3, 9)).astype(float)
    score = rng.standard_normal((3, 9))
    n = np.arange(1, 10)
    got = Pool.rank(proxy).expected(score, n)
    want = [[_enumerated(p, s, int(k)) for k in n] for p, s in zip(proxy, score, strict=True)]
    np.testing.assert_allclose(got, want, atol=1e-12)


def _enumerated_wins(proxy: np.ndarray, score: np.ndarray, n: int) -> float:
    """Mean over all n-subsets, their (tied) favourites, and all opponents outside the subset."""
    rates = []
    for subset in combinations(range(len(proxy)), n):
        chosen = np.array(subset)
        best = chosen[proxy[chosen] == proxy[chosen].max()]
        rest = np.setdiff1d(np.arange(len(proxy)), chosen)
        rates.append((np.sign(score[best][:, None] - score[rest]).mean() + 1) / 2)
    return float(np.mean(rates))


@pytest.mark.parametrize("levels", [1, 2, 4, 1000], ids=lambda k: f"{k} proxy values")
def test_win_rate_equals_enumeration_of_all_subsets_and_opponents(levels: int) -> None:
    rng = np.random.default_rng(levels)
    proxy = rng.integers(levels, size=(3, 8)).astype(float)
    score = rng.integers(4, size=(3, 8)) / 3  # gold ties as well
    n = np.arange(1, 9)
    got = Pool.rank(proxy).win_rate(score, n)
    want = [[_enumerated_wins(p, s, int(k)) for k in n[:-1]] for p, s in zip(proxy, score, strict=True)]
    np.testing.assert_allclose(got[:, :-1], want, atol=1e-12)
    assert np.isnan(got[:, -1]).all(), "no sample is left to be beaten"


def test_the_best_of_n_by_gold_itself_wins_as_often_as_order_statistics_say() -> None:
    """P(max of n beats one more) = n / (n + 1), at every n, whatever the pool."""
    score = np.random.default_rng(0).standard_normal((5, 16))
    n = np.arange(1, 16)
    np.testing.assert_allclose(Pool.rank(score).win_rate(score, n), np.tile(n / (n + 1), (5, 1)), atol=1e-12)


def test_a_pool_estimates_the_distribution_it_came_from() -> None:
    """Unbiased for a known population with ties: P(best is in a block) = F^n - F_below^n."""
    rng = np.random.default_rng(1)
    p, gold = np.array([0.3, 0.4, 0.2, 0.1]), np.array([0.0, 1.0, 3.0, -2.0])
    drawn = rng.choice(4, size=(4000, 32), p=p)
    n = np.array([1, 2, 4, 8])
    got = Pool.rank(drawn.astype(float)).expected(gold[drawn], n).mean(axis=0)
    above = np.cumsum(p)
    mass = above[:, None] ** n - np.concatenate([[0], above[:-1]])[:, None] ** n
    np.testing.assert_allclose(got, gold @ mass, atol=0.02)


def test_row_order_within_a_prompt_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    proxy, score = rng.integers(5, size=(4, 16)).astype(float), rng.standard_normal((4, 16))
    order = rng.permutation(16)
    n = grid(16)
    before = Pool.rank(proxy).expected(score, n)
    np.testing.assert_allclose(Pool.rank(proxy[:, order]).expected(score[:, order], n), before, atol=1e-12)


def test_constant_proxy_selects_nothing() -> None:
    score = np.random.default_rng(3).standard_normal((2, 32))
    pool = Pool.rank(np.ones((2, 32)))
    n = grid(32)
    np.testing.assert_allclose(pool.expected(score, n), score.mean(axis=1, keepdims=True) * np.ones(len(n)))
    np.testing.assert_allclose(pool.kl(n), 0, atol=1e-12)


def test_rounding_in_the_last_digits_is_a_tie() -> None:
    proxy = np.array([[1.0, 1.0 + 1e-9, 2.0, 2.0 - 1e-9]])
    assert Pool.rank(proxy).block.tolist() == [[0, 0, 1, 1]]


def test_weights_sum_to_one_and_survive_large_pools() -> None:
    n = np.array([1, 2, 1000, 60_000])
    weights = rank_weights(n, 60_000)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert np.isclose(weights[-1, -1], 1)
    with pytest.raises(ValueError, match="60000 samples"):
        rank_weights(np.array([60_001]), 60_000)


def _exact_kl(p: np.ndarray, proxy: np.ndarray, n: int) -> float:
    """KL of the best-of-n distribution over completions, by enumeration of every n-tuple."""
    q = np.zeros(len(p))
    for drawn in product(range(len(p)), repeat=n):
        chosen = np.array(drawn)
        favourites = chosen[proxy[chosen] == proxy[chosen].max()]
        np.add.at(q, favourites, p[chosen].prod() / len(favourites))
    return float((q * np.log(q / p)).sum())


@pytest.mark.parametrize("n", [2, 3, 5])
def test_kl_equals_enumeration_of_a_discrete_distribution_with_ties(n: int) -> None:
    p, proxy = np.array([0.1, 0.3, 0.2, 0.25, 0.15]), np.array([0.0, 1.0, 1.0, 2.0, 2.0])
    # A pool with exactly these frequencies is the distribution itself: no sampling error.
    pool = np.repeat(proxy, (p * 200).round().astype(int))[None]
    got = Pool.rank(pool).kl(np.array([n]))[0, 0]
    assert np.isclose(got, _exact_kl(p, proxy, n), rtol=0.005)
    assert got < kl_bound(np.array([n]))[0]


def test_kl_of_a_continuous_proxy_is_the_bound() -> None:
    n = grid(256)
    proxy = np.random.default_rng(4).standard_normal((3, 256))
    np.testing.assert_allclose(Pool.rank(proxy).kl(n), np.tile(kl_bound(n), (3, 1)), atol=1e-9)


def test_kl_of_a_sampled_discrete_pool_is_close_where_it_is_called_reliable() -> None:
    """A long-tailed distribution, so that many values occur once in the pool."""
    rng = np.random.default_rng(5)
    p = 1 / np.arange(1, 41)
    p /= p.sum()
    value = rng.permutation(40).astype(float)
    drawn = rng.choice(40, size=(300, 128), p=p)
    n = np.array([2, 8, 32])
    got = Pool.rank(value[drawn]).kl(n).mean(axis=0)
    order = np.argsort(value)
    above = np.cumsum(p[order])[:, None] ** n
    q = np.diff(above, axis=0, prepend=0)
    exact = (q * np.log(np.maximum(q, 1e-300) / p[order][:, None])).sum(axis=0)
    np.testing.assert_allclose(got, exact, rtol=0.015)
    assert (got < kl_bound(n)).all()


def test_grid_holds_every_power_of_two_up_to_half_of_the_samples() -> None:
    assert set(2 ** np.arange(8)) <= set(grid(256).tolist()) and grid(256).max() == 128
    assert grid(100).max() <= 50 and grid(4).tolist() == [1, 2]


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_draws_follow_the_law_whose_kl_is_reported(n: int) -> None:
    """Frequencies of the drawn proxy values, the mean log-ratio and the score, for many equal prompts."""
    rng = np.random.default_rng(n)
    values = rng.integers(6, size=40).astype(float)
    pool = Pool.rank(np.tile(values, (20_000, 1)))
    place, ratio = pool.draw(n, rng)
    level, count = np.unique(values, return_counts=True)
    above = count.cumsum() / 40
    mass = above**n - (above - count / 40) ** n
    drawn = (values[place][:, None] == level).mean(axis=0)
    np.testing.assert_allclose(drawn, mass, atol=0.02)
    assert ratio.mean() == pytest.approx(pool.kl(np.array([n]))[0, 0], abs=0.02)
    np.testing.assert_allclose(np.exp(ratio), (mass / (count / 40))[np.searchsorted(level, values[place])])
    within = np.bincount(place, minlength=40)[values == level[-1]]
    assert within.std() < 5 * np.sqrt(within.mean() + 1), "tied samples are drawn alike"


def test_the_reverse_kl_is_that_of_the_law_with_and_without_ties() -> None:
    values = np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 2.0]])
    p = np.array([3, 2, 3]) / 8
    for n in (1, 2, 7):
        q = np.diff(np.concatenate([[0], p.cumsum()]) ** n)
        assert Pool.rank(values).kl_reverse(n)[0] == pytest.approx((p * np.log(p / q)).sum())
    untied = Pool.rank(np.arange(64.0)[None])
    for n in (1, 4, 16):  # ∫ −log(n u^(n−1)) du over [0, 1]
        assert untied.kl_reverse(n)[0] == pytest.approx(n - 1 - np.log(n))


def test_the_favourite_is_a_best_one_and_ties_are_broken_at_random() -> None:
    pool = Pool.rank(np.tile([1.0, 3.0, 0.0, 3.0], (4000, 1)))
    places = pool.favourite(np.random.default_rng(0))
    assert set(places) == {1, 3} and (places == 1).mean() == pytest.approx(0.5, abs=0.04)
