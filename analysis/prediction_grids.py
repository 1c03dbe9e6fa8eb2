"""What the laws and forecasts predicted, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.grids import MISSING, Grid, _count, _grid, _interval, _text, _value, number
from analysis.laws import LAWS
from analysis.tables import Tables


def prediction_grids(tables: Tables) -> list[Grid]:
    """Held-out scores of the laws on gold, and the forecasts with what came of them."""
    scores = tables.law_scores[tables.law_scores["score"] == "gold"]
    grids = [
        _grid(
            scores.assign(form=scores["law"].map({name: law.formula for name, law in LAWS.items()})),
            "Laws on held-out points",
            "Every form fitted to the gold points up to 60 % of the √KL reached and scored on the rest. Log "
            "score: mean log density per point, higher is better. Lead: over the best other form, ± its "
            "standard error over prompts. γ and κ are the forms' shapes.",
            {
                "curve": _text("curve"),
                "form": _text("form"),
                "fitted": _count("fitted_points"),
                "held out": _count("held_out_points"),
                "α": _interval("alpha"),
                "β": _interval("beta"),
                "γ or κ": _interval("shape"),
                "log score": _value("log_score"),
                "lead": ("number", _lead),
                "why not": _text("refused"),
            },
        ),
        _grid(
            tables.forecasts,
            "Forecasts of gold, and what came of them",
            "Highest: the highest place within the KL that was reached, in nats and π_ref s.d. Turns: "
            "probability that it comes before the end. CRPS: error of the whole distribution at the withheld "
            "points, in π_ref s.d.; beside it that of gold staying where it was last seen. In band: share of "
            "withheld points in the 95 % band. Brackets: 95 %.",
            {
                "forecast": _text("forecast"),
                "from": _text("source"),
                "up to KL": _value("cut_kl"),
                "withheld": _count("withheld_points"),
                "highest at KL": _interval("best_kl", 1),
                "measured at": _value("measured_best_kl", 1),
                "highest gold": _interval("best"),
                "measured": _value("measured_best"),
                "turns": _value("turns"),
                "KL of the peak": _interval("peak_kl", 1),
                "CRPS": _value("crps", 3),
                "CRPS, no change": _value("crps_trivial", 3),
                "in band": _value("coverage"),
                "why not": _text("refused"),
            },
        ),
    ]
    return [grid for grid in grids if grid is not None]


def _lead(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["margin"]):
        return MISSING
    return f"{number(row['margin'], sign=True)} ± {number(row['margin_se'])}"
