"""Measured curves as law fits see them: points (d, y), how they vary, and what is a replicate of what."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums, UnitDraws


class Measured(NamedTuple):
    """One run of a curve, or one proxy replicate of a pool: cluster sums over (points, clusters)."""

    proxy_seed: Hashable
    kl: ClusterSums
    score: ClusterSums


@dataclass(frozen=True)
class Curve:
    """The points of one run, or of several runs after each other, and how they vary.

    Resampling is nested. The upper level is the unit: the proxy seed where there are several, whose spread
    then holds that of the policies trained against each; else the policy seed; with one run there is
    nothing to vary and intervals are about that run. Below are the prompts, which all runs share.
    """

    d: Floats
    """sqrt(KL), KL in nats per sequence: (points,)."""
    y: Floats
    """Score above π_ref: (points,)."""
    unit: NDArray[np.intp]
    """Unit that each point belongs to: (points,)."""
    resampled_d: Floats
    """The points with prompts drawn anew, one draw per row for all units: (replicates, points)."""
    resampled_y: Floats
    clusters: int
    """Prompt clusters that were drawn from."""
    unit_draws: UnitDraws

    @classmethod
    def of(
        cls, runs: Sequence[Measured], counts: Floats, rng: np.random.Generator, min_d: float = 1e-6
    ) -> Curve:
        """All points of `runs` that were scored and have d >= `min_d`; `counts` (replicates, clusters) are
        the draws of prompt clusters."""
        seeds = [run.proxy_seed for run in runs]
        names = seeds if len(set(seeds)) > 1 else list(range(len(runs)))
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        points = [len(run.kl.total) for run in runs]
        unit = np.repeat([codes[name] for name in names], points)
        # Rounding can leave point 0 a hair below zero.
        kl, resampled_kl = (np.maximum(each, 0) for each in _both([run.kl for run in runs], counts))
        y, resampled_y = _both([run.score for run in runs], counts)
        whole = cls(np.sqrt(kl), y, unit, np.sqrt(resampled_kl), resampled_y,
                    counts.shape[1], UnitDraws.draw(rng, len(codes), len(counts)))  # fmt: skip
        return whole.where(np.isfinite(whole.d) & np.isfinite(whole.y) & (whole.d >= min_d))

    def where(self, keep: NDArray[np.bool_]) -> Curve:
        """Only the points marked in `keep`."""
        return Curve(
            self.d[keep],
            self.y[keep],
            self.unit[keep],
            self.resampled_d[:, keep],
            self.resampled_y[:, keep],
            self.clusters,
            self.unit_draws,
        )

    def __len__(self) -> int:
        return len(self.d)

    @property
    def replicating(self) -> list[int]:
        """Units whose spread says how another would have gone, if there are at least two.

        A run that broke off brings its points but is no replicate of the others: a unit counts where it has
        at least half the points of the largest.
        """
        units, sizes = np.unique(self.unit, return_counts=True)
        full = [int(unit) for unit, size in zip(units, sizes, strict=True) if 2 * size >= sizes.max()]
        return full if len(full) > 1 else []

    @property
    def apart(self) -> tuple[Floats, Floats]:
        """`resampled_d` and `resampled_y` with prompts drawn for each unit by itself."""
        d, y = self.resampled_d.copy(), self.resampled_y.copy()
        units = np.unique(self.unit)
        for place, unit in enumerate(units):
            mine, shift = self.unit == unit, place * (len(d) // len(units))
            d[:, mine], y[:, mine] = (np.roll(each[:, mine], shift, axis=0) for each in (d, y))
        return d, y


def _both(sums: Sequence[ClusterSums], counts: Floats) -> tuple[Floats, Floats]:
    """Means, and their replicates, of several runs after each other."""
    mean = np.concatenate([each.mean() for each in sums])
    return mean, np.concatenate([each.replicate(counts) for each in sums], axis=1)
