"""Which form predicts best: each law is fitted to the first part of a curve and scored on the rest.

All laws get the same points, chosen by the published law of the curve's method, so no form has the easier
task. The score is the mean log density of the withheld points under the law's predictive distribution: to be
far off costs, and so does to be vague.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.laws.curve import Curve
from analysis.laws.fit import Fit, fit_curve
from analysis.laws.fit_tables import LawCurve, curve_names, estimates
from analysis.laws.forms import LAWS
from analysis.laws.predict import Split, log_scores, predict, split

Floats = NDArray[np.float64]

MIN_HELD_OUT = 3

_ESTIMATES = tuple(f"{name}{end}" for name in ("alpha", "beta", "shape") for end in ("", "_lo", "_hi"))
SCORE_COLUMNS = (
    *("curve", "method", "proxy", "score", "law", "cut_kl", "fitted_points", "held_out_points"),
    *(*_ESTIMATES, "log_score", "best", "margin", "margin_se", "refused"),
)
LINE_COLUMNS = ("curve", "law", "d", "kl", "value", "lo", "hi")
POINTS_COLUMNS = ("curve", "d", "kl", "measured", "se", "held_out")


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
    """`SCORE_COLUMNS`, one row per law.

    margin is a law's log score minus that of the best other one: positive for the winner alone. margin_se is
    its standard error over prompts; refused says why there is no score.
    """
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
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype({"refused": object})


def _margin(scored: Scored, name: str) -> tuple[float, float]:
    """Lead over the best other law, and its standard error; NaN where there is nothing to compare."""
    others = {other: value for other, value in scored.scores.items() if other != name}
    if name not in scored.scores or not others:
        return np.nan, np.nan
    rival = max(others, key=others.__getitem__)
    spread = scored.resampled[name] - scored.resampled[rival]
    return scored.scores[name] - others[rival], float(spread.std())


def line_table(scored: Scored, places: int = 61) -> pd.DataFrame:
    """Every law that was fitted to the first part, drawn over the whole of the curve: `LINE_COLUMNS`."""
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
    """The points of the curve, `POINTS_COLUMNS`: which were fitted and which withheld."""
    curve: Curve = scored.source.curve
    return pd.DataFrame({
        "curve": str(scored.source.name), "d": curve.d, "kl": curve.d**2, "measured": curve.y,
        "se": curve.resampled_y.std(axis=0), "held_out": curve.d > scored.parts.cut,
    })  # fmt: skip
