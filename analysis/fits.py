"""Which curves of an experiment are fitted by which law, and the fits as tables.

Best-of-n pools are fitted by the best-of-n law, path runs by the RL law, gold and oracle alike. Runs under
any other control are held somewhere by a penalty or a target: they trace no frontier and enter no fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.bootstrap import draw_runs
from analysis.laws import LAWS, Fit, Law, fit_curve
from analysis.points import RunCurves
from analysis.pool import PoolCurves, PoolGroup

Floats = NDArray[np.float64]

_ESTIMATES = tuple(f"{name}{end}" for name in ("alpha", "beta", "peak_kl") for end in ("", "_lo", "_hi"))
FIT_COLUMNS = (
    *("curve", "method", "proxy", "score", "law", *_ESTIMATES, "r2", "peak_inside_data"),
    *("n_points", "runs", "proxy_seeds", "refused"),
)
BAND_COLUMNS = ("curve", "d", "kl", "value", "lo", "hi")


@dataclass(frozen=True)
class Fitted:
    """A fit with what it was fitted to."""

    law: Law
    fit: Fit
    largest_d: float
    runs: int
    proxy_seeds: int


def pool_fits(groups: Sequence[PoolGroup[PoolCurves]]) -> dict[str, Fitted]:
    """One fit per proxy and score over every n >= 2: the estimator is unbiased there, its variance weighs."""
    law, fits = LAWS["best_of_n"], {}
    for group in groups:
        resampled_d = np.sqrt(np.maximum(group.resampled["kl"], 0))
        d = np.sqrt(np.maximum(group.mean("kl"), 0))
        for score in ("gold", "oracle"):
            if score not in group.resampled:
                continue
            y, spread = group.mean(score), group.resampled[score]
            fit = fit_curve(law, d, y, spread.std(axis=0), resampled_d, spread)
            seeds = len(group.replicates)
            fits[f"best_of_n/{group.proxy}/{score}"] = Fitted(law, fit, float(d.max()), seeds, seeds)
    return fits


def rl_fits(curves: Sequence[RunCurves], counts: Floats, rng: np.random.Generator) -> dict[str, Fitted]:
    """One fit per method, proxy and score over all its path runs; no other control traces a frontier.

    A failed run counts for the points it left, if any lies where the law is fitted: to drop it would be
    to fit the survivors.
    """
    law, fits = LAWS["rl"], {}
    paths = [each for each in curves if each.run.control == "path" and _reaches(each, law.min_d)]
    for method, proxy in dict.fromkeys((each.run.method, each.run.proxy) for each in paths):
        runs = [each for each in paths if (each.run.method, each.run.proxy) == (method, proxy)]
        seeds = [each.run.proxy_seed for each in runs]
        drawn = np.repeat(draw_runs(rng, seeds, len(counts)), [len(each.steps) for each in runs], axis=1)
        kl = np.concatenate([each.sums["kl"].mean() for each in runs])
        resampled_kl = np.concatenate([each.sums["kl"].replicate(counts) for each in runs], axis=1)
        # Rounding can leave point 0 a hair below zero.
        d, resampled_d = np.sqrt(np.maximum(kl, 0)), np.sqrt(np.maximum(resampled_kl, 0))
        for score in ("gold", "oracle"):
            if not any(each.measured(score) for each in runs):
                continue
            y, se = (np.concatenate([getattr(each.sums[score], what)() for each in runs])
                     for what in ("mean", "standard_error"))  # fmt: skip
            spread = np.concatenate([each.sums[score].replicate(counts) for each in runs], axis=1)
            fit = fit_curve(law, d, y, se, resampled_d, spread, drawn)
            usable = np.isfinite(y) & np.isfinite(d)
            largest = float(d[usable].max())
            fits[f"{method}/{proxy}/{score}"] = Fitted(law, fit, largest, len(runs), len(set(seeds)))
    return fits


def _reaches(each: RunCurves, d: float) -> bool:
    return bool((each.sums["kl"].mean() >= d**2).any())


def fit_row(curve: str, entry: Fitted) -> pd.DataFrame:
    """The fit as one row of `FIT_COLUMNS`."""
    fit = entry.fit
    method, proxy, score = curve.split("/")
    row: dict[str, Any] = {"curve": curve, "method": method, "proxy": proxy, "score": score, "law": fit.law}
    for name in ("alpha", "beta"):
        lo, hi = getattr(fit, f"{name}_ci") or (np.nan, np.nan)
        row |= {name: getattr(fit, name), f"{name}_lo": lo, f"{name}_hi": hi}
    lo, hi = fit.peak_kl_ci or (np.nan, np.nan)
    row |= {
        "r2": fit.r2,
        "peak_kl": fit.peak_kl,
        "peak_kl_lo": np.inf if lo is None else lo,
        "peak_kl_hi": np.inf if hi is None else hi,
        "peak_inside_data": fit.peak_inside_data,
        "n_points": fit.n_points,
        "runs": entry.runs,
        "proxy_seeds": entry.proxy_seeds,
        "refused": fit.refused,
    }
    kinds = dict.fromkeys((*_ESTIMATES, "r2"), float) | {"peak_inside_data": object, "refused": object}
    return pd.DataFrame([row]).astype(kinds)


def band(curve: str, entry: Fitted) -> pd.DataFrame:
    """The fitted law from d = 0 to its last point, `BAND_COLUMNS`; empty where there is no fit."""
    if not entry.fit.identifiable:
        return pd.DataFrame()
    d = np.linspace(0, entry.largest_d, 101)
    value, lo, hi = entry.fit.band(d)
    return pd.DataFrame({"curve": curve, "d": d, "kl": d**2, "value": value, "lo": lo, "hi": hi})
