"""Best-of-n from one pool of N samples per prompt: every n at once, without drawing again.

Score. The expected score of the proxy's favourite among n samples is a weighted mean over the pool sorted
by proxy, the sample of rank i (from the worst, 1..N) having weight C(i-1, n-1)/C(N, n): unbiased for
every n <= N (Nakano et al. 2021, arXiv:2112.09332, appendix I; Coste et al. 2023, arXiv:2310.02743, eq.
8). Where the proxy ties, a best-of-n sampler picks among the tied at random, so a tied block shares its
mean score: still exact.

KL. log n - (n-1)/n is exact for a proxy without ties and an upper bound otherwise (Beirami et al. 2024,
arXiv:2401.01879), loose for short answers. With ties: the sampler multiplies π_ref, inside the block of
completions that share a proxy value, by one constant, q/p, where p is the mass of the block under π_ref
and q = F(block)^n - F(below)^n its mass under best-of-n. Hence KL = Σ q log(q/p) over the blocks. Plugging
the pool's frequencies in is biased low where values were seen once, as a value that cannot repeat then looks
like one of mass 1/N; those are therefore integrated as a continuum of the same mass, which gives the bound
itself when nothing ties. What is left is the sampling error of the repeated values' masses, and it too reads
low: for long-tailed proxies of 40 values by about 1 % up to n = N/4 and 3 % at n = N. Nothing in a pool of N
speaks for n > N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.records.scale import TIE


@dataclass(frozen=True)
class Pool:
    """A pool sorted by proxy within every prompt: arrays of (prompts, N)."""

    proxy: Floats
    block: NDArray[np.intp]
    """Number of the tied block of each sample, counted from 0 within its prompt."""
    order: NDArray[np.intp]
    """Where each sorted sample was in the input."""

    @classmethod
    def rank(cls, proxy: Floats) -> Pool:
        """Sort raw proxy scores of shape (prompts, N)."""
        order = np.argsort(proxy, axis=1, kind="stable")
        ranked = np.take_along_axis(proxy, order, axis=1)
        gap = np.diff(ranked, axis=1) > TIE * max(float(proxy.std()), np.finfo(float).tiny)
        block = np.concatenate([np.zeros((len(proxy), 1), dtype=np.intp), gap.cumsum(axis=1)], axis=1)
        return cls(ranked, block, order)

    @property
    def size(self) -> int:
        return self.proxy.shape[1]

    @property
    def _flat(self) -> NDArray[np.intp]:
        """Block numbers that are unique over the whole pool, flattened."""
        return (self.block + np.arange(len(self.block))[:, None] * self.size).ravel()

    def mean_within_ties(self, score: Floats) -> Floats:
        """`score` (prompts, N; input order) in proxy order, each tied block replaced by its mean."""
        ranked = np.take_along_axis(score, self.order, axis=1)
        size = self.block.size
        total = np.bincount(self._flat, weights=ranked.ravel(), minlength=size)
        count = np.bincount(self._flat, minlength=size)
        return np.asarray((total / np.maximum(count, 1))[self._flat].reshape(ranked.shape))

    def expected(self, score: Floats, n: NDArray[np.intp]) -> Floats:
        """E[score of the proxy's favourite among n], per prompt: (prompts, len(n))."""
        return np.asarray(self.mean_within_ties(score) @ rank_weights(n, self.size).T)

    def win_rate(self, score: Floats, n: NDArray[np.intp]) -> Floats:
        """Probability that `score` (prompts, N; input order) prefers the proxy's favourite among n to one
        further sample, its ties counting one half, per prompt: (prompts, len(n)).

        The mean over all choices of n samples and of one more that is not among them, hence unbiased, and not
        to be had (NaN) at n = N. The favourite of rank i beats one above it in C(i-1, n-1) choices of the n
        and one below in C(i-2, n-1), as that one is no longer free to be chosen.
        """
        tie = TIE * max(float(score.std()), np.finfo(float).tiny)
        ranked = np.take_along_axis(score, self.order, axis=1)
        above, below = np.empty_like(ranked), np.empty_like(ranked)
        for mine, block, up, down in zip(ranked, self.block, above, below, strict=True):
            gap = mine[:, None] - mine
            won = np.where(np.abs(gap) <= tie, 0.5, gap > 0)
            other = block[None, :] - block[:, None]
            # In a tied block either may stand above the other: they win one half against each other, and
            # share what they win against the rest.
            half = np.full(won.shape, 0.5) * (other == 0)
            count = np.bincount(block)
            for side, sign, triangle in ((up, 1, np.triu(half, 1)), (down, -1, np.tril(half, -1))):
                rest = (won * (np.sign(other) == sign)).sum(axis=1)
                side[:] = (np.bincount(block, rest) / count)[block] + triangle.sum(axis=1)
        weights = rank_weights(n, self.size)
        lower = np.concatenate([np.zeros((len(n), 1)), weights[:, :-1]], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(
                (above @ weights.T + below @ lower.T) / np.where(n < self.size, self.size - n, np.nan)
            )

    def kl(self, n: NDArray[np.intp]) -> Floats:
        """KL(best-of-n‖π_ref) in nats, per prompt: (prompts, len(n))."""
        count, lower, upper = self._spans()
        columns = [_block_divergence(lower, upper, count, int(each)).sum(axis=1) for each in n]
        return np.stack(columns, axis=1)

    def kl_reverse(self, n: int) -> Floats:
        """KL(π_ref‖best-of-n) in nats, per prompt: (prompts,)."""
        count, lower, upper = self._spans()
        q, p = _masses(lower, upper, count, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            atom = np.where(count > 1, -p * np.log(q / p), 0.0)
        # ∫ −log f over the block, with f as in `_block_divergence`.
        inside = _xlogx(upper) - upper - _xlogx(np.maximum(lower, 0.0)) + np.maximum(lower, 0.0)
        continuum = np.where(count == 1, -p * np.log(n) - (n - 1) * inside, 0.0)
        return np.asarray((atom + continuum).sum(axis=1))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats]:
        """The favourite among n of every prompt, drawn by the law that `kl` is of.

        Returns:
            (prompts,) place in the input of what was drawn, and log(best-of-n / π_ref) of its block in nats.
        """
        count, lower, upper = self._spans()
        q, p = _masses(lower, upper, count, n)
        # The rank of the best of n is that of the n-th root of a uniform draw.
        rank = np.minimum((rng.random(len(count)) ** (1 / n) * self.size).astype(np.intp), self.size - 1)
        rows = np.arange(len(count))
        block = self.block[rows, rank]
        first = np.rint(lower[rows, block] * self.size).astype(np.intp)
        among = first + (rng.random(len(count)) * count[rows, block]).astype(np.intp)
        return self.order[rows, among], np.log(q[rows, block] / p[rows, block])

    def favourite(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Place in the input of the proxy's favourite of the whole pool, ties broken at random:
        (prompts,)."""
        tied = self.block == self.block[:, -1:]
        lots = np.where(tied, rng.random(tied.shape), -1.0).argmax(axis=1)
        return np.asarray(self.order[np.arange(len(lots)), lots])

    def _spans(self) -> tuple[NDArray[np.intp], Floats, Floats]:
        """By block number, (prompts, N) each: samples in it, and the share of the pool below and up to it."""
        count = np.bincount(self._flat, minlength=self.block.size).reshape(self.block.shape)
        upper = count.cumsum(axis=1) / self.size
        return count, upper - count / self.size, upper


def _masses(lower: Floats, upper: Floats, count: NDArray[np.intp], n: int) -> tuple[Floats, Floats]:
    """Mass of each block under best-of-n and under π_ref; the latter is 1 where there is no block."""
    q = upper**n - np.maximum(lower, 0.0) ** n
    return q, np.where(count > 0, upper - lower, 1.0)


def _block_divergence(lower: Floats, upper: Floats, count: NDArray[np.intp], n: int) -> Floats:
    """Contribution to the KL of blocks that span (lower, upper] of π_ref's mass and hold `count` samples."""
    q, p = _masses(lower, upper, count, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        atom = np.where(q > 0, q * np.log(q / p), 0.0)
    # ∫ f log f over the block, with f(u) = n u^(n-1) the density ratio of best-of-n to π_ref at quantile u.
    continuum = q * np.log(n) + (n - 1) / n * (_xlogx(upper**n) - _xlogx(np.maximum(lower, 0.0) ** n) - q)
    return np.where(count > 1, atom, np.where(count == 1, continuum, 0.0))


def _xlogx(x: Floats) -> Floats:
    return x * np.log(np.where(x > 0, x, 1.0))


def rank_weights(n: NDArray[np.intp], size: int) -> Floats:
    """C(i-1, n-1)/C(size, n) for ranks i = 1..size, worst first: (len(n), size). Rows sum to 1."""
    from scipy.special import gammaln

    if n.min() < 1 or n.max() > size:
        raise ValueError(f"n must lie between 1 and the pool's {size} samples per prompt")
    i = np.arange(1, size + 1)
    k = n[:, None]
    possible = i >= k
    spare = np.where(possible, i - k, 0)
    log_choose = gammaln(i) - gammaln(k) - gammaln(spare + 1)
    log_total = gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1)
    return np.where(possible, np.exp(log_choose - log_total), 0.0)


def kl_bound(n: NDArray[np.intp]) -> Floats:
    """log n - (n-1)/n in nats: exact without ties, an upper bound with them."""
    return np.asarray(np.log(n) - (n - 1) / n)


def grid(samples: int) -> NDArray[np.intp]:
    """The n that best-of-n is read at: powers of two and a value between neighbours (1, 2, 3, 4, 6, 8, 11,
    16, ...), up to half of the samples per prompt. Beyond, an estimate rests on the one or two best."""
    halves = np.arange(0, 2 * np.log2(samples / 2) + 1e-9)
    return np.unique(np.round(2 ** (halves / 2)).astype(np.intp))
