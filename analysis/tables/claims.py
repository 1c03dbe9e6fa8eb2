"""The claims a finished experiment is read for, computed by fixed rules rather than picked by eye.

A claim that cannot be computed says so with null; a claim that does not hold says so with `ok: false`.
Per-run claims are made for path runs, which trace a whole curve, keyed by run id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.bootstrap import ClusterSums, hump, percentile_interval
from analysis.laws.fit import Fit
from analysis.records.run_curves import RunCurves

ZERO_KL = 1e-6
"""Largest KL, in nats, that point 0 may read: it is π_ref itself, so only rounding is left."""


def checks(
    curves: Sequence[RunCurves],
    points: pd.DataFrame,
    budgets: pd.DataFrame,
    fits: Mapping[str, Fit],
    counts: NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """All claims.

    - `kl_step0_zero`: point 0 of every run reads KL 0.
    - `proxy_rises`: last minus first proxy score, its interval above 0.
    - `gold_peak_inside`, `oracle_peak_inside`: the curve rises to a peak and falls after it, both with
      intervals that exclude 0 (`analysis.estimators.bootstrap.hump`); `peak_step` and `peak_kl` are where it
      is highest.
    - `sycophancy`: first, last, and whether the last interval lies above the interval of the noise floor.
    - `best_of_n_r2`: R² of every best-of-n law.
    - `budgets`: measured against intended KL, within 25 %.
    """
    paths = [each for each in curves if each.run.control == "path" and len(each.steps)]
    return {
        "kl_step0_zero": _kl_step0(points),
        "proxy_rises": {each.run.run_id: _rise(each, counts) for each in paths},
        "gold_peak_inside": {each.run.run_id: _peak(each, "gold", rng) for each in paths},
        "oracle_peak_inside": {each.run.run_id: _peak(each, "oracle", rng) for each in paths},
        "sycophancy": {each.run.run_id: _sycophancy(points, each.run.run_id) for each in paths},
        "best_of_n_r2": {name: fit.r2 for name, fit in fits.items() if fit.law.name == "best_of_n"},
        "budgets": [
            {
                "run_id": row.run_id,
                "budget": row.budget,
                "kl": row.kl,
                "ratio": row.ratio,
                "ok": bool(row.within),
            }
            for row in budgets.itertuples()
        ],
    }


def _kl_step0(points: pd.DataFrame) -> dict[str, Any] | None:
    if points.empty:
        return None
    largest = float(points.loc[points["step"] == 0, "kl"].abs().max())
    return {"largest": largest, "ok": bool(largest <= ZERO_KL)}


def _measured(each: RunCurves, score: str) -> tuple[NDArray[np.intp], ClusterSums] | None:
    """The points where `score` exists, and its curve over them; None with fewer than two."""
    sums = each.sums[score]
    there = np.flatnonzero(np.isfinite(sums.mean()))
    if len(there) < 2:
        return None
    return there, ClusterSums(sums.total[there], sums.weight)


def _rise(each: RunCurves, counts: NDArray[np.float64]) -> dict[str, Any] | None:
    found = _measured(each, "proxy")
    if found is None:
        return None
    _, sums = found
    resampled = sums.replicate(counts)
    mean = sums.mean()
    lo, hi = percentile_interval(resampled[:, -1] - resampled[:, 0])
    return {"value": float(mean[-1] - mean[0]), "ci": [float(lo), float(hi)], "ok": bool(lo > 0)}


def _peak(each: RunCurves, score: str, rng: np.random.Generator) -> dict[str, Any] | None:
    found = _measured(each, score)
    if found is None or len(found[1].weight) < 10:
        return None
    there, sums = found
    shape = hump(sums, rng)
    place = there[shape.peak]
    return {
        "peak_step": int(each.steps[place]),
        "peak_kl": float(each.sums["kl"].mean()[place]),
        "rise": {"value": shape.rise.value, "ci": [shape.rise.lo, shape.rise.hi]},
        "fall": {"value": shape.fall.value, "ci": [shape.fall.lo, shape.fall.hi]},
        "ok": shape.inside,
    }


def _sycophancy(points: pd.DataFrame, run_id: str) -> dict[str, Any] | None:
    path = points[(points["run_id"] == run_id) & points["sycophancy"].notna()]
    if path.empty:
        return None
    first, last = path.iloc[0], path.iloc[-1]
    return {
        "first": float(first["sycophancy"]),
        "first_ci": [float(first["sycophancy_lo"]), float(first["sycophancy_hi"])],
        "last": float(last["sycophancy"]),
        "last_ci": [float(last["sycophancy_lo"]), float(last["sycophancy_hi"])],
        "floor": float(last["sycophancy_floor"]),
        "ok": bool(last["sycophancy_lo"] > last["sycophancy_floor_hi"]),
    }
