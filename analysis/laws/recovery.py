"""A recovery study: sweeps with planted laws, fitted as real ones are.

What is planted beside the law has the size that runs of the quiz world show: scores of a prompt cluster
spread by about 0.9 s.d. at the end of a path and less before, KLs by as much as their mean; neighbouring
points of a run are correlated at 0.8 to 0.9 in score and less in KL; part of the spread is common to all
runs, which share their prompts, and part a run's own. α and β differ between proxy seeds, and half as much
between policies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import REPLICATES, ClusterSums, draw_clusters
from analysis.laws.curve import Curve, Measured
from analysis.laws.fit import fit_curve
from analysis.laws.forms import LAWS, Law

CLUSTERS = 150
PLANTED = {"best_of_n": (0.75, 0.22), "rl": (0.6, 0.35)}
"""α and β in π_ref s.d.: peaks at KL 2.9 and 4.2 nats, about where runs of the quiz world have theirs."""
PATH_D = np.sqrt([0.3, 0.5, 0.75, 1.1, 1.6, 2.3, 3.2, 4.5, 6.0, 8.0, 10.5, 13.0])
POOL_N = np.array([2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256])
PROXY_SD = 0.1
"""S.d. of α and β between proxy seeds, as a share of α."""


@dataclass(frozen=True)
class Design:
    """What one sweep consists of."""

    proxies: int
    policies: int
    """Trained against each proxy."""

    def __str__(self) -> str:
        return f"{self.proxies} proxies x {self.policies} policies"


@dataclass(frozen=True)
class Recovery:
    """Shares and relative biases over the sweeps of a study."""

    sweeps: int
    bias: tuple[float, float]
    """Mean of α and β over the truth, minus 1."""
    covered: dict[str, float]
    """Share of 95 % intervals that hold the truth: alpha, beta, peak, and region for α and β jointly."""
    no_peak: float
    """Share of fits that report no peak."""


def study(
    name: str, design: Design, sweeps: int, seed: int, *, flat: bool = False, replicates: int = REPLICATES
) -> Recovery:
    """Fit `sweeps` synthetic sweeps of law `name`; with `flat`, of a score that KL does nothing to."""
    law, truth = LAWS[name], (0.0, 0.0) if flat else PLANTED[name]
    fits = []
    for rng in np.random.default_rng(seed).spawn(sweeps):
        curve = synthetic_curve(law, truth, design, rng, replicates=replicates)
        fits.append(fit_curve(law, curve))
    found = np.array([(fit.alpha, fit.beta) for fit in fits], dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = found.mean(axis=0) / truth - 1
    peak = float(law.peak(np.array(truth[0]), np.array(truth[1]), np.array(np.nan))) ** 2
    peaks = [_holds(fit.peak_kl_ci, peak) for fit in fits if fit.peak_kl_ci is not None]
    covered = {
        "alpha": float(np.mean([_holds(fit.alpha_ci, truth[0]) for fit in fits])),
        "beta": float(np.mean([_holds(fit.beta_ci, truth[1]) for fit in fits])),
        "peak": float(np.mean(peaks)) if peaks else float("nan"),
        "region": float(np.mean([fit.holds(*truth) for fit in fits])),
    }
    no_peak = float(np.mean([fit.peak_kl is None for fit in fits]))
    return Recovery(sweeps, (float(bias[0]), float(bias[1])), covered, no_peak)


def _holds(interval: tuple[float | None, float | None] | None, truth: float) -> bool:
    assert interval is not None
    lo, hi = interval
    return (-np.inf if lo is None else lo) <= truth <= (np.inf if hi is None else hi)


def synthetic_curve(
    law: Law, truth: tuple[float, float], design: Design, rng: np.random.Generator,
    *, replicates: int = REPLICATES,
) -> Curve:  # fmt: skip
    """One sweep as a curve, with replicates; `truth` is (α, β) of the mean over proxy seeds."""
    runs = synthetic_runs(law, truth, design, rng)
    return Curve.of(runs, draw_clusters(rng, CLUSTERS, replicates), rng, law.min_d)


def synthetic_runs(
    law: Law, truth: tuple[float, float], design: Design, rng: np.random.Generator
) -> list[Measured]:
    """The runs of one sweep; for best-of-n each is one proxy's ranking of the same pool."""
    pool = law.name == "best_of_n"
    d = np.sqrt(np.log(POOL_N) - (POOL_N - 1) / POOL_N) if pool else PATH_D
    scale = PROXY_SD * np.abs(truth).max()
    # A pool's KL is nearly the same for every prompt: it is an average over its samples.
    spread_kl = 0.06 if pool else 1.0
    common = rng.standard_normal((2, CLUSTERS)), _walk(rng, d)
    runs = []
    several = design.proxies > 1
    for proxy in range(design.proxies):
        of_proxy = scale * rng.standard_normal(2) * several
        for _ in range(design.policies):
            alpha, beta = truth + of_proxy + 0.5 * scale * rng.standard_normal(2) * (design.policies > 1)
            # A path's points fall where training takes it.
            at = d if pool else d * rng.uniform(0.9, 1.1, len(d))
            level, walk, kl_walk = rng.standard_normal(CLUSTERS), _walk(rng, at), _walk(rng, at)
            own = rng.standard_normal((2, len(at), CLUSTERS))
            shape = 0.1 + 0.55 * np.sqrt(at)[:, None]
            noise = 0.4 * common[0][0] + 0.5 * common[1] + 0.3 * level + 0.5 * walk + 0.3 * own[0]
            score = law.value(at, alpha, beta)[:, None] + shape * noise
            z = 0.3 * common[0][1] + 0.7 * kl_walk + 0.65 * own[1]
            sigma = np.sqrt(np.log1p(spread_kl**2))
            kl = at[:, None] ** 2 * np.exp(sigma * z - sigma**2 / 2 * (0.3**2 + 0.7**2 + 0.65**2))
            ones = np.ones(CLUSTERS)
            runs.append(Measured(proxy, ClusterSums(kl, ones), ClusterSums(score, ones)))
    return runs


def _walk(rng: np.random.Generator, d: Floats) -> Floats:
    """Standard normal over clusters at each d, correlated along log d: (points, clusters)."""
    lag = np.abs(np.log(d)[:, None] - np.log(d))
    root = np.linalg.cholesky(np.exp(-lag / 0.7) + 1e-9 * np.eye(len(d)))
    return np.asarray(root @ rng.standard_normal((len(d), CLUSTERS)))
