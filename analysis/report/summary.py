"""summary.json: an experiment's numbers for people and programs that want no tables.

The shape is fixed (schema 1); keys may be added. A number that does not exist is null, never 0 and never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.probes.evidence import refusals
from analysis.records.experiment import SCHEMA, Experiment
from analysis.tables.claims import checks
from analysis.tables.tables import Tables, tables

_POINT = {
    "step": "step",
    "kl": "kl",
    "kl_se": "kl_se",
    "proxy": "proxy_score",
    "gold": "gold",
    "gold_se": "gold_se",
    "oracle": "oracle",
    "oracle_se": "oracle_se",
    "win_rate": "win_rate",
    "neutral_accuracy": "neutral_accuracy",
    "forgetting": "forgetting",
    "abstention": "abstention",
}
"""Key in a point of the summary -> column of the points; the headline behaviour stands beside them."""


def summary(experiment: Experiment, computed: Tables | None = None) -> dict[str, Any]:
    """The summary, ready for `json.dumps(..., allow_nan=False)`. `computed` saves computing the tables
    again."""
    t = tables(experiment) if computed is None else computed
    document = {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "wall_seconds": dict(experiment.wall_seconds),
        "runs": [_run(row, t.points, experiment.headline_behaviour) for row in t.runs.to_dict("records")],
        "best_of_n": _best_of_n(t.best_of_n),
        "fits": [_fit(row) for row in t.fits.to_dict("records")],
        "reward_models": [_card(row) for row in t.reward_models.to_dict("records")],
        "probes": refusals(t.study),
        "gaps": t.gaps.to_dict("records"),
        "checks": checks(t.study),
    }
    return {key: plain(value) for key, value in document.items()}


def plain(value: Any) -> Any:
    """`value` as strict JSON: arrays as lists, what is missing or not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(each) for each in value]
    if value is None or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def _run(row: Mapping[Any, Any], points: pd.DataFrame, behaviour: str) -> dict[str, Any]:
    named = (
        "run_id",
        "method",
        "control",
        "budget",
        "seed",
        "proxy",
        "proxy_pairs",
        "proxy_seed",
        "status",
        "error",
    )
    own = points[points["run_id"] == row["run_id"]] if len(points) else points
    return {name: row[name] for name in named} | {
        "points": [_point(p, behaviour) for p in own.to_dict("records")]
    }


def _point(row: Mapping[Any, Any], behaviour: str) -> dict[str, Any]:
    point = {key: row[column] for key, column in _POINT.items()}
    beside = (f"{behaviour}{end}" for end in ("_floor", "_stated", "_third_party", "_third_party_stated"))
    point |= {name: row[name] for name in beside if name in row}
    told = [name for name in (behaviour, f"{behaviour}_net", "win_rate") if name in row]
    return point | {name: row[name] for name in told} | {f"{name}_ci": _pair(row, name) for name in told}


def _pair(row: Mapping[Any, Any], name: str) -> list[Any] | None:
    """The interval of `name`, or None where there is none; a bound of None is infinite."""
    lo, hi = row[f"{name}_lo"], row[f"{name}_hi"]
    return None if pd.isna(lo) and pd.isna(hi) else [lo, hi]


def _best_of_n(table: pd.DataFrame) -> list[dict[str, Any]]:
    curves = []
    for proxy, rows in table.groupby("proxy", sort=False) if len(table) else ():
        curve: dict[str, Any] = {"proxy": proxy}
        curve |= {name: rows[name].tolist() for name in ("n", "kl_bound", "kl", "proxy_score", "gold")}
        curve["gold_ci"] = rows[["gold_lo", "gold_hi"]].to_numpy().tolist()
        curve["oracle"] = rows["oracle"].tolist() if rows["oracle"].notna().any() else None
        curves.append(curve)
    return curves


def _fit(row: Mapping[Any, Any]) -> dict[str, Any]:
    fit = {name: row[name] for name in ("curve", "law", "r2", "n_points", "refused", "peak_inside_data")}
    for name in ("alpha", "beta", "peak_kl"):
        fit |= {name: row[name], f"{name}_ci": _pair(row, name)}
    return fit


def _card(row: Mapping[Any, Any]) -> dict[str, Any]:
    named = ("name", "kind", "pairs", "accuracy", "ece", "length_correlation", "oracle_agreement")
    return {name: row[name] for name in named} | {"accuracy_ci": _pair(row, "accuracy")}
