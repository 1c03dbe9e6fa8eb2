"""A run, or a pool, as a curve over √KL that can be read at any KL it has reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.records.run_curves import RunCurves

SCORES = ("gold", "oracle", "proxy_score", "win_rate")
NO_MORE: Mapping[str, ClusterSums] = {}


@dataclass(frozen=True)
class Traced:
    """A curve over √KL, with its replicates."""

    d: Floats
    """√KL of every point in the order in which they were passed: (points,)."""
    scores: Mapping[str, Floats]
    """Those of `SCORES` that were measured, and what else was asked for: (points,)."""
    resampled_d: Floats
    """(replicates, points)."""
    resampled: Mapping[str, Floats]
    """(replicates, points)."""
    between: Between | None = None
    """What was measured between its points."""

    @classmethod
    def of(
        cls,
        curves: RunCurves,
        counts: Floats,
        between: Between | None = None,
        more: Mapping[str, ClusterSums] = NO_MORE,
    ) -> Traced:
        """A run, resampled by `counts` (replicates, clusters); `more` has further curves of it, by name."""
        named = {name: curves.sums["proxy" if name == "proxy_score" else name] for name in SCORES}
        named |= more
        sums = {name: curve for name, curve in named.items() if np.isfinite(curve.mean()).any()}
        return cls(
            root(curves.sums["kl"].mean()),
            {name: curve.mean() for name, curve in sums.items()},
            root(curves.sums["kl"].replicate(counts)),
            {name: curve.replicate(counts) for name, curve in sums.items()},
            between,
        )

    def usable(self, score: str) -> NDArray[np.bool_]:
        """Which points have this score: (points,)."""
        return np.isfinite(self.scores.get(score, np.full(len(self.d), np.nan))) & np.isfinite(self.d)

    def reach(self, score: str) -> float:
        """The largest √KL with this score; 0 where there is none."""
        return float(np.max(self.d[self.usable(score)], initial=0.0))

    def read(self, score: str, at: Floats, resampled_at: Floats | None = None) -> tuple[Floats, Floats]:
        """The score at √KL = `at`, between the points: (places,), and its replicates (replicates, places).

        Each replicate is read at the same places unless `resampled_at` (replicates, places) has its own.
        """
        kept = self.usable(score)
        value = first_passage(self.d[None, kept], self.scores[score][None, kept], at)[0]
        spread = first_passage(
            self.resampled_d[:, kept],
            self.resampled[score][:, kept],
            at if resampled_at is None else resampled_at,
        )
        return value, spread

    def has_between(self, score: str, kl: float) -> bool:
        """Whether a policy between its checkpoints was measured for `kl` nats and has this score."""
        if self.between is None or kl not in self.between.kl:
            return False
        return bool(self.between.curve.usable(score)[self.between.kl.index(kl)])

    def read_between(self, score: str, kl: float) -> tuple[float, Floats]:
        """The score of that policy, and its replicates (replicates,).

        What its measured KL lacks of `kl` (or has too much) is made up along the curve of the points; in a
        replicate its KL is another, so that errors of the axis count here as they do in `read`.
        """
        assert self.between is not None
        place, curve = self.between.kl.index(kl), self.between.curve
        own_d, wanted = curve.resampled_d[:, place], np.sqrt(kl)
        value, spread = self.read(
            score,
            np.array([wanted, curve.d[place]]),
            np.stack([np.full(len(own_d), wanted), own_d], axis=1),
        )
        return (
            float(curve.scores[score][place] + value[0] - value[1]),
            curve.resampled[score][:, place] + spread[:, 0] - spread[:, 1],
        )


@dataclass(frozen=True)
class Between:
    """The policies between a run's checkpoints, measured near the KLs wanted (nats)."""

    kl: tuple[float, ...]
    curve: Traced
    """One point for each of `kl`; not an order in which they were passed."""


def root(kl: Floats) -> Floats:
    """√KL; an estimate below 0 counts as 0."""
    return np.sqrt(np.maximum(kl, 0))


def first_passage(d: Floats, value: Floats, at: Floats) -> Floats:
    """`value` where the path first reaches √KL = `at`: (replicates, places), from (replicates, points).

    Beyond the furthest point its value is held: replicates fall a little short of a place that the curve
    itself has reached.

    Args:
        at: (places,), or (replicates, places).
    """
    order = np.arange(d.shape[1])
    furthest = np.maximum.accumulate(d, axis=1)
    record = d > np.concatenate([np.full((len(d), 1), -np.inf), furthest[:, :-1]], axis=1)
    latest = np.maximum.accumulate(np.where(record, order, 0), axis=1)
    places = []
    for place in np.broadcast_to(at, (len(d), at.shape[-1])).T:
        beyond = furthest >= place[:, None]
        after = np.where(beyond.any(axis=1), beyond.argmax(axis=1), latest[:, -1])
        before = np.where(
            after > 0, np.take_along_axis(latest, np.maximum(after - 1, 0)[:, None], 1)[:, 0], 0
        )
        (d0, d1), (y0, y1) = (
            [np.take_along_axis(table, each[:, None], 1)[:, 0] for each in (before, after)]
            for table in (d, value)
        )
        share = np.where(d1 > d0, (place - d0) / np.where(d1 > d0, d1 - d0, 1.0), 1.0)
        places.append(y0 + np.clip(share, 0, 1) * (y1 - y0))
    return np.stack(places, axis=1)
