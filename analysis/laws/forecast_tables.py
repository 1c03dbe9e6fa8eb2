"""The forecasts of an experiment's gold curves, as tables: one row per curve and source, and their bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import percentile_interval
from analysis.laws.curve import Curve
from analysis.laws.fit_tables import D_AND_KL, LawCurve, law_curves, run_measured
from analysis.laws.forecast import BASE, EARLY, Forecast, from_base_samples, from_early_points
from analysis.laws.forms import LAWS
from analysis.laws.predict import crps
from analysis.pool.curves import PoolGroup, Replicate
from analysis.pool.frontier import FRONTIER, frontier_groups
from analysis.records.run_curves import RunCurves
from analysis.records.way import Way
from analysis.study.columns import run_columns
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, SD, SHARE, TEXT, YES, Column, Sheet, Table


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
    fitted: Sequence[LawCurve],
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
    for each in fitted:
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
    """One row of `FORECASTS`."""
    row: dict[str, object] = dict.fromkeys(FORECASTS.names, np.nan) | {
        "forecast": of.name, "method": str(of.way), "proxy": of.proxy, "source": of.source, "weights": "",
        "refused": None,
    }  # fmt: skip
    if isinstance(of.made, str):
        row["refused"] = of.made
    else:
        row |= _row(of.made)
    kinds = dict.fromkeys(("peak_kl_hi", "turns"), float) | {"refused": object}
    return pd.DataFrame([row]).astype(kinds)


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
    """The forecast at every point of the curve, for `FORECAST_BANDS`; empty where there is none."""
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


@once
def foreseen(study: Study) -> list[Forecasted]:
    return forecasts(study.curves, law_curves(study), frontier_groups(study), FRONTIER.of(study),
                     study.counts, study.stream("forecasts"))  # fmt: skip


OF = Column("forecast", TEXT, "a run id, or best_of_n/<proxy>")
SOURCE = Column("source", TEXT, "what was known: early points, or base samples", title="from")
FORECASTS = Table(
    "forecasts",
    "Forecasts of gold curves, and what came of them: one row per curve and source.",
    (
        OF,
        *run_columns("method", "proxy"),
        SOURCE,
        Column("cut_kl", NATS, "KL up to which the curve was known", title="up to KL"),
        Column("reach_kl", NATS, "the largest KL of the curve"),
        Column("seen_points", COUNT, "points up to the cut"),
        Column("withheld_points", COUNT, "points beyond it", title="withheld"),
        Column("crps", SD, "error of the whole distribution at the withheld points", title="CRPS", digits=3),
        Column("crps_trivial", SD, "that of a curve which stays where it was last seen",
               title="CRPS, no change", digits=3),
        Column("coverage", SHARE, "withheld points in the 95 % band", title="in band"),
        Column("peak_kl", NATS, "KL of the peak, wherever it lies: median", True, title="KL of the peak",
               digits=1),
        Column("best_kl", NATS, "KL of the highest place within reach: median", True,
               title="highest at KL", digits=1),
        Column("best", SD, "gold there: median", True, title="highest gold"),
        Column("turns", "probability", "of the highest place coming before the end"),
        Column("measured_best_kl", NATS, "KL of the highest point measured", title="measured at", digits=1),
        Column("measured_best", SD, "gold there", title="measured"),
        Column("weights", TEXT, "of the laws in the mixture"),
        Column("refused", TEXT, "why there is no forecast", title="why not"),
    ),
    lambda study: (forecast_row(each) for each in foreseen(study)),
    Sheet(
        "Forecasts of gold, and what came of them",
        "Highest: the highest place within the KL that was reached, in nats and π_ref s.d. Turns: "
        "probability that it comes before the end. CRPS: error of the whole distribution at the withheld "
        "points, in π_ref s.d.; beside it that of gold staying where it was last seen. In band: share of "
        "withheld points in the 95 % band. Brackets: 95 %.",
        ("forecast", "source", "cut_kl", "withheld_points", "best_kl", "measured_best_kl", "best",
         "measured_best", "turns", "peak_kl", "crps", "crps_trivial", "coverage", "refused"),
    ),
)  # fmt: skip
FORECAST_BANDS = Table(
    "forecast_bands",
    "The forecasts at every point of their curves.",
    (
        *(OF, SOURCE, *D_AND_KL),
        Column("withheld", YES, "the forecaster did not see the point"),
        Column("measured", SD, "gold"),
        Column("value", SD, "the forecast: median"),
        Column("lo", SD, "lower bound, 95 %"),
        Column("hi", SD, "upper bound, 95 %"),
    ),
    lambda study: (forecast_band(each) for each in foreseen(study)),
)
