"""What the laws and forecasts predicted, as tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.laws.forms import LAWS
from analysis.report.grid import MISSING, Grid, count_cell, grid, interval_cell, number, text_cell, value_cell
from analysis.tables.tables import Tables


def prediction_grids(tables: Tables) -> list[Grid]:
    """Held-out scores of the laws on gold, and the forecasts with what came of them."""
    scores = tables.law_scores[tables.law_scores["score"] == "gold"]
    grids = [
        grid(
            scores.assign(form=scores["law"].map({name: law.formula for name, law in LAWS.items()})),
            "Laws on held-out points",
            "Every form fitted to the gold points up to 60 % of the √KL reached and scored on the rest. Log "
            "score: mean log density per point, higher is better. Lead: over the best other form, ± its "
            "standard error over prompts. γ and κ are the forms' shapes.",
            {
                "curve": text_cell("curve"),
                "form": text_cell("form"),
                "fitted": count_cell("fitted_points"),
                "held out": count_cell("held_out_points"),
                "α": interval_cell("alpha"),
                "β": interval_cell("beta"),
                "γ or κ": interval_cell("shape"),
                "log score": value_cell("log_score"),
                "lead": ("number", _lead),
                "why not": text_cell("refused"),
            },
        ),
        grid(
            tables.forecasts,
            "Forecasts of gold, and what came of them",
            "Highest: the highest place within the KL that was reached, in nats and π_ref s.d. Turns: "
            "probability that it comes before the end. CRPS: error of the whole distribution at the withheld "
            "points, in π_ref s.d.; beside it that of gold staying where it was last seen. In band: share of "
            "withheld points in the 95 % band. Brackets: 95 %.",
            {
                "forecast": text_cell("forecast"),
                "from": text_cell("source"),
                "up to KL": value_cell("cut_kl"),
                "withheld": count_cell("withheld_points"),
                "highest at KL": interval_cell("best_kl", 1),
                "measured at": value_cell("measured_best_kl", 1),
                "highest gold": interval_cell("best"),
                "measured": value_cell("measured_best"),
                "turns": value_cell("turns"),
                "KL of the peak": interval_cell("peak_kl", 1),
                "CRPS": value_cell("crps", 3),
                "CRPS, no change": value_cell("crps_trivial", 3),
                "in band": value_cell("coverage"),
                "why not": text_cell("refused"),
            },
        ),
    ]
    return [each for each in grids if each is not None]


def _lead(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["margin"]):
        return MISSING
    return f"{number(row['margin'], sign=True)} ± {number(row['margin_se'])}"
