"""The claims a finished experiment is read for, computed by fixed rules rather than picked by eye.

A claim that cannot be computed says so with null; a claim that does not hold says so with `ok: false`.
Per-run claims are made for path runs, which trace a whole curve, keyed by run id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.bootstrap import ClusterSums, percentile_interval
from analysis.estimators.replicates import hump, stacked
from analysis.laws.fit_tables import fitted
from analysis.probes.evidence import headline_behaviour
from analysis.probes.points import POINTS
from analysis.records.run_curves import RunCurves
from analysis.study.columns import run_columns
from analysis.study.grid import Grid
from analysis.study.study import Study, once
from analysis.study.table import SD, SHARE, TEXT, Column, Sheet, Table
from analysis.tables.runs import BUDGETS

ZERO_KL = 1e-6
"""Largest KL, in nats, that point 0 may read: it is π_ref itself, so only rounding is left."""


@once
def checks(study: Study) -> dict[str, Any]:
    """All claims, by name.

    - `kl_step0_zero`: point 0 of every run reads KL 0.
    - `proxy_rises`: last minus first proxy score, its interval above 0.
    - `gold_peak_inside`, `oracle_peak_inside`: the curve rises to a peak and falls after it, both with
      intervals over facts that exclude 0 (`analysis.estimators.replicates.hump`: a run is one replicate);
      `fall` counts downwards.
    - the headline behaviour (`sycophancy`): first, last, and whether the last interval lies above that of the
      noise floor, or where none is measured above that of the first.
    - `best_of_n_r2`: R² of every best-of-n law.
    - `budgets`: measured against intended KL, within 25 %.
    """
    points, counts = POINTS.of(study), study.counts
    behaviour = study.experiment.headline_behaviour
    paths = [each for each in study.curves if each.run.control == "path" and len(each.steps)]
    return {
        "kl_step0_zero": _kl_step0(points),
        "proxy_rises": {each.run.run_id: _rise(each, counts) for each in paths},
        "gold_peak_inside": {each.run.run_id: _peak(each, "gold", study) for each in paths},
        "oracle_peak_inside": {each.run.run_id: _peak(each, "oracle", study) for each in paths},
        behaviour: {each.run.run_id: _behaviour(points, each.run.run_id, behaviour) for each in paths},
        "best_of_n_r2": {
            str(name): each.fit.r2 for name, each in fitted(study).items() if each.fit.law.name == "best_of_n"
        },
        "budgets": [
            {
                "run_id": row.run_id,
                "budget": row.budget,
                "kl": row.kl,
                "ratio": row.ratio,
                "ok": bool(row.within),
            }
            for row in BUDGETS.of(study).itertuples()
        ],
    }


def _kl_step0(points: pd.DataFrame) -> dict[str, Any] | None:
    if points.empty:
        return None
    largest = float(points.loc[points["step"] == 0, "kl"].abs().max())
    return {"largest": largest, "ok": bool(largest <= ZERO_KL)}


def _measured(each: RunCurves, score: str) -> tuple[NDArray[np.intp], ClusterSums] | None:
    """The points where `score` exists, and its curve over them; None with fewer than two."""
    sums = each.sums[score]
    there = np.flatnonzero(np.isfinite(sums.mean()))
    if len(there) < 2:
        return None
    return there, ClusterSums(sums.total[there], sums.weight)


def _rise(each: RunCurves, counts: NDArray[np.float64]) -> dict[str, Any] | None:
    found = _measured(each, "proxy")
    if found is None:
        return None
    _, sums = found
    resampled = sums.replicate(counts)
    mean = sums.mean()
    lo, hi = percentile_interval(resampled[:, -1] - resampled[:, 0])
    return {"value": float(mean[-1] - mean[0]), "ci": [float(lo), float(hi)], "ok": bool(lo > 0)}


def _peak(each: RunCurves, score: str, study: Study) -> dict[str, Any] | None:
    found = _measured(each, score)
    if found is None or study.facts < 10:
        return None
    there, sums = found
    curves, weight = stacked([sums], study.fact)
    kl = each.sums["kl"].mean()[there]
    shape = hump(curves, kl, study.stream(f"claims {each.run.run_id} {score}"), weight)
    return {
        "peak_kl": shape.peak.value,
        "peak_kl_ci": [shape.peak.lo, shape.peak.hi],
        "rise": {"value": shape.rise.value, "ci": [shape.rise.lo, shape.rise.hi]},
        "fall": {"value": shape.fall.value, "ci": [shape.fall.lo, shape.fall.hi]},
        "ok": shape.shown,
    }


def _behaviour(points: pd.DataFrame, run_id: str, name: str) -> dict[str, Any] | None:
    path = points[(points["run_id"] == run_id) & points[name].notna()]
    if path.empty:
        return None
    first, last = path.iloc[0], path.iloc[-1]
    floored = f"{name}_floor" in points
    return {
        "first": float(first[name]),
        "first_ci": [float(first[f"{name}_lo"]), float(first[f"{name}_hi"])],
        "last": float(last[name]),
        "last_ci": [float(last[f"{name}_lo"]), float(last[f"{name}_hi"])],
        "floor": float(last[f"{name}_floor"]) if floored else None,
        "ok": bool(last[f"{name}_lo"] > (last[f"{name}_floor_hi"] if floored else first[f"{name}_hi"])),
    }


def _paths(study: Study) -> pd.DataFrame:
    """One row per path run of `checks`, a gap where a claim could not be computed."""
    claims, points = checks(study), POINTS.of(study)
    status = {run.run_id: run.status for run in study.experiment.runs}
    behaviour = study.experiment.headline_behaviour
    rows = []
    for run_id, rise in claims["proxy_rises"].items():
        broken = "" if status[run_id] == "complete" else f" ({status[run_id]})"
        syc = claims[behaviour][run_id] or {}
        row: dict[str, Any] = {"run_id": f"{run_id}{broken}", "behaviour": behaviour}
        found = {"proxy": rise}
        for score in ("gold", "oracle"):
            claim = claims[f"{score}_peak_inside"][run_id] or {}
            found |= {f"{score}_{part}": claim.get(part) for part in ("rise", "fall")}
        found |= {part: syc and {"value": syc[part], "ci": syc[f"{part}_ci"]} for part in ("first", "last")}
        for name, claim in found.items():
            lo, hi = claim["ci"] if claim else (np.nan, np.nan)
            row |= {name: claim["value"] if claim else np.nan, f"{name}_lo": lo, f"{name}_hi": hi}
        won = points[(points["run_id"] == run_id) & points["win_rate"].notna()].tail(1)
        for name in ("win_rate", "win_rate_lo", "win_rate_hi"):
            row[name] = won[name].iloc[0] if len(won) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _grids(study: Study) -> list[Grid]:
    behaviour, headline = study.experiment.headline_behaviour.replace("_", " "), headline_behaviour(study)
    said = f" {behaviour.capitalize()}: it {headline.label}." if headline else ""
    caption = (
        "Proxy: last minus first point. Up: peak minus first; down: peak minus last; in π_ref s.d. Wins: "
        f"share of prompts on which gold prefers the last point to π_ref, ties counting one half.{said}"
    )
    ends = [replace(each, title=f"{behaviour}, {each.name}") for each in PATHS.columns if each.name in ENDS]
    scores = ("proxy", "gold_rise", "gold_fall", "win_rate", "oracle_rise", "oracle_fall")
    shown: list[str | Column] = ["run_id", *scores, *ends]
    return Sheet("What each path run did", caption, shown).grids(PATHS.of(study), PATHS)


ENDS = ("first", "last")
PATHS = Table(
    "paths",
    "What each path run did: the claims of `checks` in summary.json, one row per run.",
    (
        run_columns("run_id")[0],
        Column("proxy", SD, "last minus first proxy score", interval=True),
        Column("gold_rise", SD, "gold: peak minus first", interval=True, title="gold up"),
        Column("gold_fall", SD, "gold: peak minus last", interval=True, title="gold down"),
        Column(
            "win_rate", SHARE, "win rate of gold at the last point", interval=True, title="gold wins, last"
        ),
        Column("oracle_rise", SD, "oracle: peak minus first", interval=True, title="oracle up"),
        Column("oracle_fall", SD, "oracle: peak minus last", interval=True, title="oracle down"),
        Column("behaviour", TEXT, "the headline behaviour"),
        Column("first", SHARE, "its rate at the first point that has it", interval=True),
        Column("last", SHARE, "its rate at the last", interval=True),
    ),
    _paths,
    _grids,
)
