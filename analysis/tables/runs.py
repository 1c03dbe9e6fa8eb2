"""The plain tables of an experiment: its runs, its reward models' cards, what became of budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves

RUN_COLUMNS = (
    *("run_id", "group", "method", "mitigation", "control", "budget", "seed"),
    *("proxy", "proxy_pairs", "proxy_seed"),
)
BUDGET_TOLERANCE = 0.25


def runs(curves: Sequence[RunCurves]) -> pd.DataFrame:
    rows = []
    for each in curves:
        settings = each.run.settings(*RUN_COLUMNS, "status", "error")
        usable = sum(point.sampled and point.scored for point in each.run.points)
        rows.append(settings | {"points": usable})
    return pd.DataFrame(rows, columns=[*RUN_COLUMNS, "status", "error", "points"])


def cards(experiment: Experiment) -> pd.DataFrame:
    columns = ("name", "kind", "proxy", "proxy_seed", "pairs", "accuracy", "ece", "length_correlation",
               "oracle_agreement", "gold_agreement", "heldout_pairs", "label_flip_share",
               "reliability")  # fmt: skip
    rows = []
    for card in experiment.cards:
        lo, hi = card.get("accuracy_ci") or (np.nan, np.nan)
        rows.append({name: card.get(name) for name in columns} | {"accuracy_lo": lo, "accuracy_hi": hi})
    return pd.DataFrame(rows, columns=[*columns, "accuracy_lo", "accuracy_hi"])


def budgets(points: pd.DataFrame) -> pd.DataFrame:
    """The last point of every run that was given a budget."""
    rows = points[points["budget"].notna()].groupby("run_id", sort=False).tail(1).reset_index(drop=True)
    rows = rows.assign(ratio=rows["kl"] / rows["budget"])
    rows["within"] = (rows["ratio"] - 1).abs() <= BUDGET_TOLERANCE
    scores = ("gold", "oracle", "proxy_score", "sycophancy")
    measured = [f"{name}{end}" for name in scores for end in ("", "_lo", "_hi")]
    return rows[[*RUN_COLUMNS, "step", "kl", "ratio", "within", *measured]]
