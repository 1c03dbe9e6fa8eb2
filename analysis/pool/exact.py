"""What can be said exactly about policies whose every completion can be written down.

A policy over few completions is an array of log-probabilities, shape (..., C), one row per prompt; anything
it does is a sum over C. Here are the optimum of the KL-regularised objective, both directions of KL,
best-of-n with ties, and what every KL estimator averages to. Nothing is sampled; estimators are held against
this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.pool.best_of_n import TIE

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Tree:
    """Every completion over a vocabulary: ended by EOS, or cut off at `longest` tokens."""

    vocabulary: int
    longest: int
    eos: int
    prefixes: Sequence[Ids]
    """The S places where a next token is sampled, the empty one first, by length."""
    completions: Sequence[Ids]
    """The C completions, EOS included where it was emitted."""
    visited: NDArray[np.intp]
    """(C, longest): index of the prefix at each token of a completion; 0 beyond its end."""
    token: NDArray[np.intp]
    """(C, longest): the tokens; 0 beyond the end."""
    inside: NDArray[np.bool_]
    """(C, longest): whether the completion has a token there."""

    @classmethod
    def of(cls, vocabulary: int, longest: int, eos: int) -> Tree:
        """Write the tree down; it has about vocabulary^longest completions."""
        others = [token for token in range(vocabulary) if token != eos]
        prefixes = [p for length in range(longest) for p in product(others, repeat=length)]
        completions = [(*p, eos) for p in prefixes] + list(product(others, repeat=longest))
        index = {prefix: place for place, prefix in enumerate(prefixes)}
        visited = np.zeros((len(completions), longest), dtype=np.intp)
        token = np.zeros_like(visited)
        for row, completion in enumerate(completions):
            visited[row, : len(completion)] = [index[completion[:t]] for t in range(len(completion))]
            token[row, : len(completion)] = completion
        inside = np.arange(longest) < np.array([len(c) for c in completions])[:, None]
        return cls(vocabulary, longest, eos, prefixes, completions, visited, token, inside)

    @property
    def length(self) -> NDArray[np.intp]:
        """Tokens of each completion, EOS included: (C,)."""
        return np.asarray(self.inside.sum(axis=1))

    def log_prob(self, conditional: Floats) -> Floats:
        """log π(completion), shape (..., C), from log π(token | prefix), shape (..., S, V)."""
        return np.asarray(np.where(self.inside, conditional[..., self.visited, self.token], 0.0).sum(axis=-1))

    def along(self, conditional: Floats, value: Floats) -> Floats:
        """E_π[Σ_t value(s_t)], shape (...), of a value per prefix (..., S): each weighs P(π passes it)."""
        reach = np.zeros(conditional.shape[:-1])
        index = {prefix: place for place, prefix in enumerate(self.prefixes)}
        reach[..., 0] = 1.0
        for place, prefix in enumerate(self.prefixes[1:], start=1):
            before = index[prefix[:-1]]
            reach[..., place] = reach[..., before] * np.exp(conditional[..., before, prefix[-1]])
        return np.asarray((reach * value).sum(axis=-1))

    def estimators(self, policy: Floats, reference: Floats) -> Mapping[str, Floats]:
        """What each estimator of `training/kl.py` averages to under π: name to (...), in nats per sequence.

        Args:
            policy, reference: log π(token | prefix) of both, shape (..., S, V).
        """
        ratio, p = policy - reference, np.exp(policy)
        forward = (p * ratio).sum(axis=-1)
        per_prefix = {
            "kl": forward,
            "k1": forward,
            "k2": (p * ratio**2 / 2).sum(axis=-1),
            "k3": (p * (np.exp(-ratio) - 1 + ratio)).sum(axis=-1),
            "kl_reverse": -(np.exp(reference) * ratio).sum(axis=-1),
            "k1_clamped": (p * np.maximum(ratio, 0)).sum(axis=-1),
        }
        return {name: self.along(policy, value) for name, value in per_prefix.items()}


def kl(log_p: Floats, log_q: Floats) -> Floats:
    """KL(p‖q) in nats, shape (...), of distributions over completions, (..., C)."""
    with np.errstate(invalid="ignore"):  # a completion that p never says costs nothing: 0 · log 0
        terms = np.where(np.isneginf(log_p), 0.0, np.exp(log_p) * (log_p - log_q))
    return np.asarray(terms.sum(axis=-1))


def total_variation(log_p: Floats, log_q: Floats) -> Floats:
    """½ Σ|p − q|, shape (...): the largest difference in probability of any behaviour."""
    return np.asarray(np.abs(np.exp(log_p) - np.exp(log_q)).sum(axis=-1) / 2)


def expected(log_p: Floats, score: Floats) -> Floats:
    """E_p[score], shape (...): of a reward, or of a behaviour (0 or 1 per completion)."""
    return np.asarray((np.exp(log_p) * score).sum(axis=-1))


def tilted(log_reference: Floats, reward: Floats, beta: float) -> Floats:
    """log of π* = π_ref·exp(reward/β)/Z, shape (..., C): no policy has a higher E[reward] − β·KL(π‖π_ref).

    Rafailov et al. 2023 (arXiv:2305.18290, eq. 4); `beta` in units of reward per nat.
    """
    tilt = log_reference + reward / beta
    top = tilt.max(axis=-1, keepdims=True)
    return np.asarray(tilt - top - np.log(np.exp(tilt - top).sum(axis=-1, keepdims=True)))


def best_of_n(log_reference: Floats, proxy: Floats, n: int) -> Floats:
    """log-law of the proxy's favourite among n samples of π_ref, shape (..., C), ties broken at random.

    A block of completions with one proxy value is chosen with probability F(block)^n − F(below)^n, and
    within it π_ref's odds are kept.
    """
    order = np.argsort(proxy, axis=-1, kind="stable")
    ranked = np.take_along_axis(proxy, order, axis=-1)
    log_p = np.take_along_axis(np.broadcast_to(log_reference, proxy.shape), order, axis=-1)
    steps = np.diff(ranked, axis=-1, prepend=-np.inf) > TIE * proxy.std()
    upper = np.exp(log_p).cumsum(axis=-1)
    law = np.empty_like(log_p)
    for row in np.ndindex(proxy.shape[:-1]):
        starts = np.flatnonzero(steps[row])
        ends = np.append(starts[1:], proxy.shape[-1])
        high = upper[row][ends - 1] / upper[row][-1]
        low = np.append(0.0, high[:-1])
        with np.errstate(divide="ignore"):
            gain = np.log(high**n - low**n) - np.log(high - low)
        law[row][order[row]] = log_p[row] + np.repeat(gain, ends - starts)
    return law
