"""Exact quantities, by definitions of their own: tuples, optimisation and plain sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from analysis.pool import exact
from analysis.pool.exact import Tree

TREE = Tree.of(vocabulary=3, longest=3, eos=1)


def _conditionals(seed: int, prompts: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.ones(3), size=(prompts, len(TREE.prefixes))))


def _law(seed: int, completions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log π_ref, a proxy with ties and gold."""
    rng = np.random.default_rng(seed)
    return (
        np.log(rng.dirichlet(np.ones(completions))),
        rng.integers(3, size=completions).astype(float),
        rng.standard_normal(completions),
    )


def test_a_tree_holds_every_completion_once() -> None:
    assert len(TREE.prefixes) == 1 + 2 + 4
    assert len(TREE.completions) == len(set(TREE.completions)) == 7 + 8
    assert all((c[-1] == 1) != (len(c) == 3 and 1 not in c) for c in TREE.completions)
    assert not any(1 in c[:-1] for c in TREE.completions)


def test_sequence_probabilities_are_products_of_steps_and_sum_to_one() -> None:
    conditional = _conditionals(0)
    log_p = TREE.log_prob(conditional)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)
    row = TREE.completions.index((0, 2, 1))
    steps = [TREE.prefixes.index(p) for p in [(), (0,), (0, 2)]]
    by_hand = conditional[0, steps[0], 0] + conditional[0, steps[1], 2] + conditional[0, steps[2], 1]
    assert log_p[0, row] == pytest.approx(by_hand)


def test_estimators_equal_sums_over_completions() -> None:
    p, q = _conditionals(1), _conditionals(2)
    probability, ratio = np.exp(TREE.log_prob(p)), (p - q)[..., TREE.visited, TREE.token]
    reverse = (np.exp(q) * (q - p)).sum(axis=-1)[..., TREE.visited]
    per_token = {"k1": ratio, "k2": ratio**2 / 2, "k3": np.exp(-ratio) - 1 + ratio, "kl_reverse": reverse}
    found = TREE.estimators(p, q)
    for name, value in per_token.items():
        along = np.where(TREE.inside, value, 0.0).sum(axis=-1)
        np.testing.assert_allclose(found[name], (probability * along).sum(axis=1), err_msg=name)
    whole = exact.kl(TREE.log_prob(p), TREE.log_prob(q))
    for name in ("kl", "k1", "k3"):
        np.testing.assert_allclose(found[name], whole)


@pytest.mark.parametrize("beta", [2.0, 0.5, 0.05])
def test_no_neighbour_of_the_tilted_policy_has_a_better_objective(beta: float) -> None:
    log_ref, reward, _ = _law(3, 6)

    def objective(log_p: np.ndarray) -> float:
        return float(exact.expected(log_p, reward) - beta * exact.kl(log_p, log_ref))

    best = exact.tilted(log_ref, reward, beta)
    assert np.exp(best).sum() == pytest.approx(1)
    rng = np.random.default_rng(4)
    for size in (0.01, 0.1, 1.0):
        other = best + size * rng.standard_normal((50, 6))
        other -= np.log(np.exp(other).sum(axis=1, keepdims=True))
        assert all(objective(each) < objective(best) for each in other)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_best_of_n_equals_enumeration_of_every_tuple(n: int) -> None:
    log_ref, proxy, gold = _law(5, 5)
    law = np.zeros(5)
    for drawn in product(range(5), repeat=n):
        chosen = np.array(drawn)
        favourites = chosen[proxy[chosen] == proxy[chosen].max()]
        np.add.at(law, favourites, np.exp(log_ref)[chosen].prod() / len(favourites))
    found = exact.best_of_n(log_ref, proxy, n)
    np.testing.assert_allclose(np.exp(found), law, atol=1e-12)
    assert exact.expected(found, gold) == pytest.approx(law @ gold)
    if n == 1:
        np.testing.assert_allclose(found, log_ref)


def test_prompts_keep_to_themselves() -> None:
    both = [_law(seed, 5) for seed in (6, 7)]
    log_ref, proxy = (np.stack([law[i] for law in both]) for i in (0, 1))
    together = exact.best_of_n(log_ref, proxy, 3)
    for row in range(2):
        np.testing.assert_allclose(together[row], exact.best_of_n(log_ref[row], proxy[row], 3))
    np.testing.assert_allclose(exact.tilted(log_ref, proxy, 0.7)[1], exact.tilted(log_ref[1], proxy[1], 0.7))


def test_distances_between_policies() -> None:
    certain, fair = np.log([[1.0, 1e-300], [0.5, 0.5]])
    assert exact.kl(fair, fair) == 0 and exact.total_variation(fair, fair) == 0
    assert exact.kl(certain, fair) == pytest.approx(np.log(2))
    assert exact.total_variation(certain, fair) == pytest.approx(0.5)
    never = np.array([0.0, -np.inf])
    assert exact.kl(never, fair) == pytest.approx(np.log(2))
