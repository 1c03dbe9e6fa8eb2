"""Which form predicts best: each law is fitted to the first part of a curve and scored on the rest.

All laws get the same points, chosen by the published law of the curve's method, so no form has the easier
task. The score is the mean log density of the withheld points under the law's predictive distribution: to be
far off costs, and so does to be vague.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.laws.curve import Curve
from analysis.laws.fit import Fit, fit_curve
from analysis.laws.fit_tables import (
    ALPHA,
    BAND,
    BETA,
    CURVE,
    D_AND_KL,
    LAW,
    NAMES,
    REFUSED,
    LawCurve,
    curve_names,
    estimates,
    law_curves,
)
from analysis.laws.forms import LAWS
from analysis.laws.predict import Split, log_scores, predict, split
from analysis.study.grid import MISSING, number
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, SD, TEXT, YES, Column, Row, Sheet, Table

MIN_HELD_OUT = 3


class Scored(NamedTuple):
    """All laws on one curve."""

    source: LawCurve
    parts: Split
    fits: dict[str, Fit]
    scores: dict[str, float]
    """Log score by law; a law that was refused is absent."""
    resampled: dict[str, Floats]
    """The same with prompts drawn anew: (replicates,)."""


def score_laws(source: LawCurve) -> Scored:
    """Fit every law to the first part of the curve and score it on the rest."""
    parts = split(source.curve)
    fits = {name: fit_curve(law, parts.early) for name, law in LAWS.items()}
    scores, resampled = {}, {}
    if len(parts.rest) >= MIN_HELD_OUT:
        for name, fit in fits.items():
            if fit.identifiable:
                prediction = predict(fit, parts.early, parts.rest)
                scores[name] = float(log_scores(prediction, parts.rest.y))
                resampled[name] = log_scores(prediction, parts.rest.y + prediction.errors)
    return Scored(source, parts, fits, scores, resampled)


def score_table(scored: Scored) -> pd.DataFrame:
    """One row of `LAW_SCORES` per law."""
    few = None
    if len(scored.parts.rest) < MIN_HELD_OUT:
        few = f"{len(scored.parts.rest)} points beyond the cut, at least {MIN_HELD_OUT} are needed"
    rows: list[dict[str, Any]] = []
    for name, fit in scored.fits.items():
        margin, margin_se = _margin(scored, name)
        rows.append({
            **curve_names(scored.source.name), "law": name, "cut_kl": scored.parts.cut**2,
            "fitted_points": len(scored.parts.early), "held_out_points": len(scored.parts.rest),
            **estimates(fit), "log_score": scored.scores.get(name, np.nan),
            "best": bool(scored.scores) and name == max(scored.scores, key=scored.scores.__getitem__),
            "margin": margin, "margin_se": margin_se, "refused": few or fit.refused,
        })  # fmt: skip
    return pd.DataFrame(rows).astype({"refused": object})


def _margin(scored: Scored, name: str) -> tuple[float, float]:
    """Lead over the best other law, and its standard error; NaN where there is nothing to compare."""
    others = {other: value for other, value in scored.scores.items() if other != name}
    if name not in scored.scores or not others:
        return np.nan, np.nan
    rival = max(others, key=others.__getitem__)
    spread = scored.resampled[name] - scored.resampled[rival]
    return scored.scores[name] - others[rival], float(spread.std())


def line_table(scored: Scored, places: int = 61) -> pd.DataFrame:
    """Every law that was fitted to the first part, drawn over the whole of the curve, for `LAW_LINES`."""
    d = np.linspace(0, scored.source.curve.d.max(initial=0), places)
    frames = []
    for name, fit in scored.fits.items():
        if fit.identifiable:
            value, lo, hi = fit.band(d)
            frames.append(pd.DataFrame({"law": name, "d": d, "kl": d**2, "value": value, "lo": lo, "hi": hi}))
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames, ignore_index=True).assign(curve=str(scored.source.name))


def points_table(scored: Scored) -> pd.DataFrame:
    """The points of the curve, for `LAW_POINTS`: which were fitted and which withheld."""
    curve: Curve = scored.source.curve
    return pd.DataFrame({
        "curve": str(scored.source.name), "d": curve.d, "kl": curve.d**2, "measured": curve.y,
        "se": curve.resampled_y.std(axis=0), "held_out": curve.d > scored.parts.cut,
    })  # fmt: skip


@once
def scored_laws(study: Study) -> list[Scored]:
    return [score_laws(each) for each in law_curves(study)]


def _lead(row: Row) -> str:
    if pd.isna(row["margin"]):
        return MISSING
    return f"{number(row['margin'], sign=True)} ± {number(row['margin_se'])}"


def _on_gold(table: pd.DataFrame) -> pd.DataFrame:
    gold = table[table["score"] == "gold"]
    return gold.assign(form=gold["law"].map({name: law.formula for name, law in LAWS.items()}))


LAW_SCORES = Table(
    "law_scores",
    "Every law fitted to the first part of a curve and scored on the rest: one row per curve and law.",
    (
        *(*NAMES, LAW),
        Column("cut_kl", NATS, "KL up to which points were fitted"),
        Column("fitted_points", COUNT, "points up to there", title="fitted"),
        Column("held_out_points", COUNT, "points beyond", title="held out"),
        *(ALPHA, BETA),
        Column("shape", "1", "the law's third parameter", interval=True, title="γ or κ"),
        Column("log_score", "nats", "mean log density of the held-out points"),
        Column("best", YES, "no other law scores higher"),
        Column("margin", "nats", "its log score minus that of the best other law", title="lead", show=_lead),
        Column("margin_se", "nats", "standard error of the margin over prompts"),
        replace(REFUSED, words="why there is no score", title="why not"),
    ),
    lambda study: (score_table(each) for each in scored_laws(study)),
    Sheet(
        "Laws on held-out points",
        "Every form fitted to the gold points up to 60 % of the √KL reached and scored on the rest. Log "
        "score: mean log density per point, higher is better. Lead: over the best other form, ± its "
        "standard error over prompts. γ and κ are the forms' shapes.",
        ("curve", Column("form", TEXT, "the law's formula"), "fitted_points", "held_out_points", "alpha",
         "beta", "shape", "log_score", "margin", "refused"),
        _on_gold,
    ),
)  # fmt: skip
LAW_LINES = Table(
    "law_lines",
    "Those fits drawn over the whole of each curve.",
    (CURVE, LAW, *BAND),
    lambda study: (line_table(each) for each in scored_laws(study)),
)
LAW_POINTS = Table(
    "law_points",
    "The points of each curve.",
    (CURVE, *D_AND_KL, Column("measured", SD, "the score"), Column("se", SD, "its standard error"),
     Column("held_out", YES, "withheld from the fits")),
    lambda study: (points_table(each) for each in scored_laws(study)),
)  # fmt: skip
