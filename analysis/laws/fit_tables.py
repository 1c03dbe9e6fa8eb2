"""Which curves of an experiment are fitted by which law, and the fits as tables.

Best-of-n pools are fitted by the best-of-n law, path runs by the RL law, gold and oracle alike. Runs under
any other control are held somewhere by a penalty or a target: they trace no frontier and enter no fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.laws.curve import Curve, Measured
from analysis.laws.fit import Fit, fit_curve
from analysis.laws.forms import LAWS, Law
from analysis.pool.curves import PoolCurves, PoolGroup, pool_groups
from analysis.records.run_curves import RunCurves
from analysis.records.way import CurveId, Way
from analysis.study.columns import run_columns
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, ROOT_NATS, SD, TEXT, YES, Column, Sheet, Table

TRUTHS = ("gold", "oracle")


@dataclass(frozen=True)
class LawCurve:
    """A curve that a law is fitted to: one score of all path runs of a method and proxy, or of a pool."""

    name: CurveId
    law: Law
    """The published law of this method."""
    curve: Curve
    runs: int
    proxy_seeds: int


@dataclass(frozen=True)
class Fitted:
    """A fit with what it was fitted to."""

    source: LawCurve
    fit: Fit


def pool_law_curves(groups: Sequence[PoolGroup[PoolCurves]], rng: np.random.Generator) -> list[LawCurve]:
    """One curve per proxy and score over every n >= 2: the estimator is unbiased there, variance weighs."""
    found = []
    for group in groups:
        for score in (name for name in TRUTHS if name in group.resampled):
            runs = [Measured(each.proxy_seed, each.sums["kl"], each.sums[score]) for each in group.replicates]
            law = LAWS["best_of_n"]
            curve = Curve.of(runs, group.counts, rng, law.min_d)
            found.append(
                LawCurve(CurveId(Way("best_of_n"), group.proxy, score), law, curve, len(runs), len(runs))
            )
    return found


def rl_law_curves(curves: Sequence[RunCurves], counts: Floats, rng: np.random.Generator) -> list[LawCurve]:
    """One curve per way, proxy and score over all its path runs; no other control traces a frontier.

    A failed run counts for the points it left, if any lies where the law is fitted: to drop it would be
    to fit the survivors. Best-of-n runs are left to the pool, of whose curve they are a few places.
    """
    law, found = LAWS["rl"], []
    paths = [e for e in curves if e.run.control == "path" and e.run.method != "best_of_n"]
    paths = [each for each in paths if _reaches(each, law.min_d)]
    for way, proxy in dict.fromkeys((each.run.way, each.run.proxy) for each in paths):
        runs = [each for each in paths if (each.run.way, each.run.proxy) == (way, proxy)]
        seeds = {each.run.proxy_seed for each in runs}
        for score in TRUTHS:
            if any(each.measured(score) for each in runs):
                curve = Curve.of([run_measured(each, score) for each in runs], counts, rng, law.min_d)
                found.append(LawCurve(CurveId(way, proxy, score), law, curve, len(runs), len(seeds)))
    return found


def run_measured(each: RunCurves, score: str) -> Measured:
    return Measured(each.run.proxy_seed, each.sums["kl"], each.sums[score])


def _reaches(each: RunCurves, d: float) -> bool:
    return bool((each.sums["kl"].mean() >= d**2).any())


def fits(law_curves: Sequence[LawCurve]) -> dict[CurveId, Fitted]:
    """The published law of every curve, fitted to all of it."""
    return {each.name: Fitted(each, fit_curve(each.law, each.curve)) for each in law_curves}


def estimates(fit: Fit) -> dict[str, Any]:
    """α, β and shape with their intervals; NaN where there is none."""
    row: dict[str, Any] = {}
    for name in ("alpha", "beta", "shape"):
        value, (lo, hi) = getattr(fit, name), getattr(fit, f"{name}_ci") or (np.nan, np.nan)
        row |= {name: np.nan if value is None else value, f"{name}_lo": lo, f"{name}_hi": hi}
    return row


def curve_names(curve: CurveId) -> Mapping[str, str]:
    """A curve's name and its parts, as tables have them."""
    return {"curve": str(curve), "method": str(curve.way), "proxy": curve.proxy, "score": curve.score}


def fit_row(curve: CurveId, entry: Fitted) -> pd.DataFrame:
    """The fit as one row of `FITS`."""
    fit = entry.fit
    lo, hi = fit.peak_kl_ci or (np.nan, np.nan)
    row = {
        **curve_names(curve),
        **estimates(fit),
        "law": fit.law.name,
        "alpha_beta_correlation": fit.correlation() if fit.identifiable else np.nan,
        "r2": fit.r2,
        "peak_kl": fit.peak_kl,
        "peak_kl_lo": np.inf if lo is None else lo,
        "peak_kl_hi": np.inf if hi is None else hi,
        "peak_inside_data": fit.peak_inside_data,
        "n_points": fit.n_points,
        "runs": entry.source.runs,
        "proxy_seeds": entry.source.proxy_seeds,
        "refused": fit.refused,
    }
    numbers = [name for each in ESTIMATED for name in each.names]
    kinds = dict.fromkeys((*numbers, "r2"), float) | {"peak_inside_data": object, "refused": object}
    return pd.DataFrame([row]).astype(kinds)


def band(curve: CurveId, entry: Fitted) -> pd.DataFrame:
    """The fitted law from d = 0 to its last point, for `FIT_BANDS`; empty where there is no fit."""
    if not entry.fit.identifiable:
        return pd.DataFrame()
    d = np.linspace(0, entry.source.curve.d.max(), 101)
    value, lo, hi = entry.fit.band(d)
    return pd.DataFrame({"curve": str(curve), "d": d, "kl": d**2, "value": value, "lo": lo, "hi": hi})


def region(curve: CurveId, entry: Fitted) -> pd.DataFrame:
    """The outline of the joint 95 % region of (α, β), for `FIT_REGIONS`; empty where there is no fit."""
    if not entry.fit.identifiable:
        return pd.DataFrame()
    return pd.DataFrame(entry.fit.region(), columns=["alpha", "beta"]).assign(curve=str(curve))


@once
def law_curves(study: Study) -> list[LawCurve]:
    """Every curve that a law is fitted to."""
    rng = study.stream("laws")
    return pool_law_curves(pool_groups(study), rng) + rl_law_curves(study.curves, study.counts, rng)


@once
def fitted(study: Study) -> dict[CurveId, Fitted]:
    return fits(law_curves(study))


CURVE = Column("curve", TEXT, "<method>/<proxy>/<score>")
NAMES = (CURVE, *run_columns("method", "proxy"), Column("score", TEXT, "gold or oracle"))
LAW = Column("law", TEXT, "the law's name")
D = Column("d", ROOT_NATS, "√KL")
D_AND_KL = (D, Column("kl", NATS, "d²"))
BAND = (*D_AND_KL, Column("value", SD, "the fitted law"), Column("lo", SD, "lower bound, 95 %"),
        Column("hi", SD, "upper bound, 95 %"))  # fmt: skip
ALPHA = Column("alpha", "s.d./√nat", "α of the law", interval=True, title="α")
BETA = Column("beta", "as the law has it", "β of the law", interval=True, title="β")
PEAK_KL = Column("peak_kl", NATS, "KL at which the law is highest; infinite bounds are no bounds",
                 interval=True, title="KL at peak", digits=1)  # fmt: skip
ESTIMATED = (ALPHA, BETA, PEAK_KL)
REFUSED = Column("refused", TEXT, "why there is no fit", title="why not fitted")

FITS = Table(
    "fits",
    "The published law of every curve, fitted to all of it: one row per curve.",
    (
        *(*NAMES, LAW, *ESTIMATED),
        Column("alpha_beta_correlation", "1", "correlation of the two estimates"),
        Column("r2", "1", "R² over the points", title="R²", digits=3),
        Column("peak_inside_data", YES, "the peak lies among the points; empty where there is no peak"),
        Column("n_points", COUNT, "points that were fitted", title="points"),
        Column("runs", COUNT, "runs, or replicates of a pool, behind them"),
        Column("proxy_seeds", COUNT, "proxy replicates among them"),
        REFUSED,
    ),
    lambda study: (fit_row(*each) for each in fitted(study).items()),
    Sheet(
        "Fitted laws",
        "Best-of-n: d(α − βd). Reinforcement learning: d(α − β log d). d = √KL; KL in nats, scores in "
        "π_ref s.d. Brackets: 95 % bootstrap intervals. A peak beyond the data is an extrapolation.",
        ("curve", "n_points", "alpha", "beta", "r2", "peak_kl", "peak_inside_data", "refused"),
    ),
)
FIT_BANDS = Table(
    "fit_bands",
    "The fitted laws drawn from d = 0 to their last point.",
    (CURVE, *BAND),
    lambda study: (band(*each) for each in fitted(study).items()),
)
FIT_REGIONS = Table(
    "fit_regions",
    "Outlines of the joint 95 % regions of (α, β).",
    (CURVE, Column("alpha", ALPHA.unit, "α"), Column("beta", BETA.unit, "β")),
    lambda study: (region(*each) for each in fitted(study).items()),
)
