"""The optimiser-free frontier: what the best KL-regularised policy would score, from the pool alone.

Among all policies, E[r] − β·KL(π‖π_ref) is highest for π_β(y|x) = π_ref(y|x)·exp(r(x, y)/β)/Z_β(x) (Rafailov
et al. 2023, arXiv:2305.18290, eq. 4). Its scores and its KL are expectations under π_ref with weights
exp(r/β), here estimated by self-normalised importance sampling over each prompt's samples, for every β at
once and without training. No policy reaches a higher proxy score at the same KL, so what a trained policy
scores besides is what the optimiser adds to, or loses from, pure reweighting.

Self-normalised estimates are biased by O(1/N); the jackknife over samples takes the leading term away. A pool
of N cannot show policies that live on its one or two best samples: where the effective sample size
(Σw)²/Σw², averaged over prompts, falls below `EFFECTIVE`, a place is flagged as not reliable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.pool.curves import CURVES, PoolGroup, Replicate, ScoredPool, grouped_by_proxy, scored_pool
from analysis.probes.points import POINTS
from analysis.study.columns import KL, SQRT_KL, STEP_OF, run_columns
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, SD, YES, Column, Table, intervals

BETAS = np.geomspace(16, 0.125, 29)
"""Coefficients in s.d. of the proxy on π_ref per nat, the gentlest first; a factor of √√2 apart."""
EFFECTIVE = 16
"""Fewest effective samples per prompt, on average, at which a place counts as reliable."""

RESIDUAL_SCORES = ("proxy_score", "gold", "oracle")
PLACE = (*run_columns("run_id", "method", "proxy", "proxy_pairs"), STEP_OF, KL, SQRT_KL)


@dataclass(frozen=True)
class Tilted:
    """One pool tilted by exp(proxy/β): arrays of (prompts, N)."""

    weights: Floats
    """Self-normalised: rows sum to 1."""
    log_weights: Floats
    """log(N·weights): the estimated log-ratio to π_ref."""

    @classmethod
    def of(cls, proxy: Floats, beta: float) -> Tilted:
        """Tilt by `proxy` (prompts, N) at coefficient `beta` > 0, in units of proxy per nat."""
        scaled = proxy / beta
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        log_weights = scaled - np.log(np.exp(scaled).mean(axis=1, keepdims=True))
        return cls(np.exp(log_weights) / proxy.shape[1], log_weights)

    @property
    def effective(self) -> Floats:
        """Effective sample size of each prompt: (prompts,)."""
        return np.asarray(1 / (self.weights**2).sum(axis=1))

    def expected(self, score: Floats) -> Floats:
        """E[score] under the tilted policy, per prompt: (prompts,)."""
        whole = (self.weights * score).sum(axis=1)
        without = (whole[:, None] - self.weights * score) / self._rest
        return self._jackknife(whole, without)

    def kl(self) -> Floats:
        """KL(π_β‖π_ref) in nats, per prompt: (prompts,)."""
        size = self.weights.shape[1]
        whole = (self.weights * self.log_weights).sum(axis=1)
        without = (whole[:, None] - self.weights * self.log_weights) / self._rest
        # Without one sample the weights are normalised anew, over one sample fewer.
        return self._jackknife(whole, without - np.log(self._rest * size / (size - 1)))

    @property
    def _rest(self) -> Floats:
        """Weight of all samples but one."""
        return np.maximum(1 - self.weights, np.finfo(float).eps)

    def _jackknife(self, whole: Floats, without: Floats) -> Floats:
        size = self.weights.shape[1]
        return np.asarray(size * whole - (size - 1) * without.mean(axis=1))


def frontier_curves(pool: ScoredPool) -> list[Replicate]:
    """The frontier of every proxy replicate: the curves of `CURVES` and `ess` over `BETAS`."""
    curves = []
    for proxy, proxy_seed, scorer in pool.proxies:
        tilts = [Tilted.of(pool.scores[scorer], beta) for beta in BETAS]
        scores = {"proxy_score": pool.scores[scorer]}
        scores |= {name: pool.scores[name] for name in ("gold", "oracle") if name in pool.scores}
        values = {
            name: np.stack([t.expected(score) for t in tilts], axis=1) for name, score in scores.items()
        }
        values["kl"] = np.stack([t.kl() for t in tilts], axis=1)
        values["ess"] = np.stack([t.effective for t in tilts], axis=1)
        curves.append(Replicate(proxy, proxy_seed, pool.sums(values)))
    return curves


def frontier_table(curves: PoolGroup[Replicate], pairs: int | None) -> pd.DataFrame:
    """One row of `FRONTIER` per β, from weak to strong optimisation."""
    frame = pd.DataFrame({"beta": BETAS, "ess": curves.mean("ess")})
    frame = frame.assign(proxy=curves.proxy, proxy_pairs=pairs, seeds=len(curves.replicates))
    frame["reliable"] = frame["ess"] >= EFFECTIVE
    frame = frame.assign(**curves.columns(CURVES, len(BETAS)))
    return frame.assign(sqrt_kl=np.sqrt(frame["kl"].clip(lower=0)))


def residuals(points: pd.DataFrame, frontier: pd.DataFrame) -> pd.DataFrame:
    """`RESIDUALS` of the rows of `POINTS` at which their proxy's frontier is reliable.

    The frontier is interpolated linearly in √KL from π_ref on. Pool and evaluation prompts are drawn apart,
    so the squared half-widths of the two intervals add.
    """
    rows = []
    for proxy, curve in frontier[frontier["reliable"].astype(bool)].groupby("proxy", sort=False):
        places = np.concatenate([[0.0], curve["sqrt_kl"]])
        mine = points[(points["proxy"] == proxy) & (points["sqrt_kl"] <= places.max())]
        row = mine[[column.name for column in PLACE]].copy()
        for name in RESIDUAL_SCORES:
            ends = ("", "_lo", "_hi")
            at = {
                end: np.interp(row["sqrt_kl"], places, np.concatenate([[0.0], curve[f"{name}{end}"]]))
                for end in ends
            }
            residual = mine[name] - at[""]
            half = np.hypot((mine[f"{name}_hi"] - mine[f"{name}_lo"]) / 2, (at["_hi"] - at["_lo"]) / 2)
            for end, sign in zip(ends, (0, -1, 1), strict=True):
                row[f"{name}_residual{end}"] = residual + sign * half
        rows.append(row)
    return RESIDUALS.stack(rows)


@once
def frontier_groups(study: Study) -> list[PoolGroup[Replicate]]:
    """The frontiers behind `FRONTIER`, by proxy; none without a pool."""
    pool = scored_pool(study)
    return grouped_by_proxy([] if pool is None else frontier_curves(pool), study.stream("frontier"))


FRONTIER = Table(
    "frontier",
    "The best KL-regularised policies, from the pool alone: one row per proxy and β, replicates averaged.",
    (
        *run_columns("proxy", "proxy_pairs"),
        Column("seeds", COUNT, "replicates of the proxy"),
        Column("beta", "s.d./nat", "KL coefficient, in the proxy's π_ref s.d."),
        Column("ess", COUNT, "effective samples per prompt, on average"),
        Column("reliable", YES, f"there are at least {EFFECTIVE} of them"),
        SQRT_KL,
        Column("kl", NATS, "KL from the reference policy, per sequence", interval=True),
        *intervals("proxy_score", "gold", "oracle", unit=SD, words="{} of the reweighted samples"),
    ),
    lambda study: (
        frontier_table(group, study.proxy_pairs.get(group.proxy)) for group in frontier_groups(study)
    ),
)
RESIDUALS = Table(
    "residuals",
    "What a trained policy scores beyond the frontier of its proxy at the same KL: one row per point there.",
    (
        *PLACE,
        *intervals(*(f"{n}_residual" for n in RESIDUAL_SCORES), unit=SD, words="{}: point minus frontier"),
    ),
    lambda study: residuals(POINTS.of(study), FRONTIER.of(study)),
)
