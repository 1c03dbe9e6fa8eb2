"""The forecasts of an experiment's gold curves, as tables: one row per curve and source, and their bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.bootstrap import percentile_interval
from analysis.laws.curve import Curve
from analysis.laws.fit_tables import LawCurve, run_measured
from analysis.laws.forecast import BASE, EARLY, Forecast, from_base_samples, from_early_points
from analysis.laws.forms import LAWS
from analysis.laws.predict import crps
from analysis.pool.curves import PoolGroup, Replicate
from analysis.records.run_curves import RunCurves
from analysis.records.way import Way

Floats = NDArray[np.float64]

FORECAST_COLUMNS = (
    *("forecast", "method", "proxy", "source", "cut_kl", "reach_kl", "seen_points", "withheld_points"),
    *("crps", "crps_trivial", "coverage"),
    *(f"{name}{end}" for name in ("peak_kl", "best_kl", "best") for end in ("", "_lo", "_hi")),
    *("turns", "measured_best_kl", "measured_best", "weights", "refused"),
)
FORECAST_BAND_COLUMNS = ("forecast", "source", "d", "kl", "withheld", "measured", "value", "lo", "hi")


class Forecasted(NamedTuple):
    """A forecast of one curve, or the reason why there is none."""

    name: str
    """A run id, or `best_of_n/<proxy>`."""
    way: Way
    proxy: str
    source: str
    made: Forecast | str


def forecasts(
    curves: Sequence[RunCurves],
    law_curves: Sequence[LawCurve],
    frontiers: Sequence[PoolGroup[Replicate]],
    frontier: pd.DataFrame,
    counts: Floats,
    rng: np.random.Generator,
) -> list[Forecasted]:
    """Of the gold curve of every path run, from its early points and from base samples, and of every pool's
    best-of-n from small n.

    `frontiers` are the replicates behind the table `frontier`; `counts` (replicates, clusters) are draws of
    the evaluation prompts.
    """
    found = []
    for each in law_curves:
        way, proxy, score = each.name
        if way.method == "best_of_n" and score == "gold":
            made = from_early_points(each.curve, rng)
            found.append(Forecasted(f"{way}/{proxy}", way, proxy, EARLY, made))
    for run in (each for each in curves if each.run.control == "path" and each.measured("gold")):
        of = run.run.run_id, run.run.way, run.run.proxy
        measured = [run_measured(run, "gold")]
        early = Curve.of(measured, counts, rng, LAWS["rl"].min_d)
        found.append(Forecasted(*of, EARLY, from_early_points(early, rng)))
        mine = next((group for group in frontiers if group.proxy == run.run.proxy), None)
        if mine is not None and "gold" in mine.resampled:
            found.append(
                Forecasted(*of, BASE, _from_frontier(Curve.of(measured, counts, rng), mine, frontier))
            )
    return found


def _from_frontier(curve: Curve, replicates: PoolGroup[Replicate], frontier: pd.DataFrame) -> Forecast | str:
    table = frontier[frontier["proxy"] == replicates.proxy]
    reliable = table["reliable"].to_numpy(dtype=bool)
    if not reliable.any():
        return "the pool is too small to be reweighted"
    kl, gold = (replicates.resampled[name][:, reliable] for name in ("kl", "gold"))
    return from_base_samples(curve, kl, gold, float(table.loc[reliable, "sqrt_kl"].max()))


def forecast_row(of: Forecasted) -> pd.DataFrame:
    """One row of `FORECAST_COLUMNS`."""
    row: dict[str, object] = dict.fromkeys(FORECAST_COLUMNS, np.nan) | {
        "forecast": of.name, "method": str(of.way), "proxy": of.proxy, "source": of.source, "weights": "",
        "refused": None,
    }  # fmt: skip
    if isinstance(of.made, str):
        row["refused"] = of.made
    else:
        row |= _row(of.made)
    kinds = dict.fromkeys(("peak_kl_hi", "turns"), float) | {"refused": object}
    return pd.DataFrame([row], columns=list(FORECAST_COLUMNS)).astype(kinds)


def _row(made: Forecast) -> dict[str, object]:
    y, lo, hi = made.withheld.y, *percentile_interval(made.draws)
    everything = [(c.d**2, c.y) for c in (made.seen, made.withheld)]
    kl, gold = (np.concatenate(each) for each in zip(*everything, strict=True))
    row: dict[str, object] = {
        "cut_kl": made.cut**2,
        "reach_kl": float(kl.max()),
        "seen_points": len(made.seen),
        "withheld_points": len(made.withheld),
        "crps": float(crps(made.draws, y).mean()),
        "crps_trivial": float(crps(made.trivial, y).mean()),
        "coverage": float(((lo <= y) & (y <= hi)).mean()),
        "turns": made.turns,
        "measured_best_kl": float(kl[gold.argmax()]),
        "measured_best": float(gold.max()),
        "weights": ", ".join(f"{name} {weight:.2f}" for name, weight in made.weights.items()),
    }
    for name, draws in (("peak_kl", made.peak_kl), ("best_kl", made.best_kl), ("best", made.best)):
        if draws is not None:
            low, middle, high = _ordered(draws)
            row |= {name: middle, f"{name}_lo": low, f"{name}_hi": high}
    return row


def _ordered(draws: Floats) -> tuple[float, float, float]:
    """2.5 %, 50 % and 97.5 % as ordered statistics: draws may be infinite."""
    ranked = np.sort(draws)
    low, middle, high = (ranked[round(q * (len(ranked) - 1))] for q in (0.025, 0.5, 0.975))
    return float(low), float(middle), float(high)


def forecast_band(of: Forecasted) -> pd.DataFrame:
    """The forecast at every point of the curve, `FORECAST_BAND_COLUMNS`; empty where there is none."""
    made = of.made
    if isinstance(made, str):
        return pd.DataFrame()
    frames = []
    for points, draws, withheld in ((made.seen, made.fitted, False), (made.withheld, made.draws, True)):
        if len(points):
            lo, hi = percentile_interval(draws)
            frames.append(pd.DataFrame({
                "d": points.d, "kl": points.d**2, "withheld": withheld, "measured": points.y,
                "value": np.median(draws, axis=0), "lo": lo, "hi": hi,
            }))  # fmt: skip
    return pd.concat(frames).sort_values("d", ignore_index=True).assign(forecast=of.name, source=of.source)
