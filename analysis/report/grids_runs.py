"""Tables for people: what runs, laws, budgets and reward models did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.report.excerpts import SCORES, Excerpt
from analysis.report.grid import (
    MISSING,
    Cell,
    Column,
    Grid,
    count_cell,
    grid,
    interval,
    interval_cell,
    number,
    said,
    text_cell,
    value_cell,
    yes_cell,
)
from analysis.tables.tables import Tables


def path_claims(tables: Tables) -> pd.DataFrame:
    """One row per path run, a column per claim of `Tables.checks`: {value, ci} or None."""
    checks, status = tables.checks, tables.runs.set_index("run_id")["status"]
    wins = {
        row["run_id"]: {"value": row["win_rate"], "ci": (row["win_rate_lo"], row["win_rate_hi"])}
        for row in tables.points.dropna(subset="win_rate").groupby("run_id").tail(1).to_dict("records")
    }
    rows = []
    for run_id, rise in checks["proxy_rises"].items():
        broken = "" if status[run_id] == "complete" else f" ({status[run_id]})"
        row = {"run_id": f"{run_id}{broken}", "proxy": rise, "win_rate": wins.get(run_id)}
        for score in ("gold", "oracle"):
            claim = checks[f"{score}_peak_inside"][run_id] or {}
            row |= {f"{score}_{part}": claim.get(part) for part in ("rise", "fall")}
        syc = checks["sycophancy"][run_id]
        for part in ("first", "last"):
            row[part] = syc and {"value": syc[part], "ci": syc[f"{part}_ci"]}
        rows.append(row)
    return pd.DataFrame(rows)


def _claim(name: str) -> tuple[str, Cell]:
    def write(row: Mapping[Any, Any]) -> str:
        claim = row[name]
        return interval(claim["value"], *claim["ci"]) if isinstance(claim, Mapping) else MISSING

    return "number", write


def number_grids(tables: Tables) -> list[Grid]:
    """Path runs, law fits, budgets, reward models, runs and gaps; a table without rows is left out."""
    sycophancy = "Sycophancy: share of known facts on which the user's wrong belief is stated."
    grids = [
        grid(
            path_claims(tables),
            "What each path run did",
            "Proxy: last minus first point. Up: peak minus first; down: last minus peak; in π_ref s.d. Wins: "
            "share of prompts on which gold prefers the last point to π_ref, ties counting one half."
            + ("" if tables.probes.get("sycophancy") else f" {sycophancy}"),
            {
                "run": text_cell("run_id"),
                "proxy": _claim("proxy"),
                "gold up": _claim("gold_rise"),
                "gold down": _claim("gold_fall"),
                "gold wins, last": _claim("win_rate"),
                "oracle up": _claim("oracle_rise"),
                "oracle down": _claim("oracle_fall"),
                "sycophancy, first": _claim("first"),
                "sycophancy, last": _claim("last"),
            },
        ),
        grid(
            tables.fits,
            "Fitted laws",
            "Best-of-n: d(α − βd). Reinforcement learning: d(α − β log d). d = √KL; KL in nats, scores in "
            "π_ref s.d. Brackets: 95 % bootstrap intervals. A peak beyond the data is an extrapolation.",
            {
                "curve": text_cell("curve"),
                "points": count_cell("n_points"),
                "α": interval_cell("alpha"),
                "β": interval_cell("beta"),
                "R²": value_cell("r2", 3),
                "KL at peak": interval_cell("peak_kl", 1),
                "peak inside data": yes_cell("peak_inside_data"),
                "why not fitted": text_cell("refused"),
            },
        ),
        grid(
            tables.budgets,
            "KL budgets",
            "At the last point of each run with a budget. KL in nats per sequence, scores in π_ref s.d.",
            {
                "run": text_cell("run_id"),
                "budget": value_cell("budget", 1),
                "measured KL": value_cell("kl"),
                "ratio": value_cell("ratio"),
                "within 25 %": yes_cell("within"),
                "gold": interval_cell("gold"),
                "oracle": interval_cell("oracle"),
                "sycophancy": interval_cell("sycophancy"),
            },
        ),
        grid(
            tables.reward_models,
            "Reward models",
            "On held-out pairs, before anything was optimised against them. ECE: expected calibration error.",
            {
                "model": text_cell("name"),
                "pairs": count_cell("pairs"),
                "held out": count_cell("heldout_pairs"),
                "accuracy": interval_cell("accuracy"),
                "ECE": value_cell("ece", 3),
                "length r": value_cell("length_correlation"),
                "agrees with oracle": value_cell("oracle_agreement"),
                "agrees with gold": value_cell("gold_agreement"),
                "labels flipped": value_cell("label_flip_share"),
            },
        ),
        grid(
            tables.runs,
            "Runs",
            "Every planned run, also those that failed.",
            {
                "run": text_cell("run_id"),
                "method": text_cell("method"),
                "control": text_cell("control"),
                "proxy": text_cell("proxy"),
                "proxy seed": count_cell("proxy_seed"),
                "seed": count_cell("seed"),
                "points": count_cell("points"),
                "status": text_cell("status"),
                "error": text_cell("error"),
            },
        ),
        grid(
            tables.gaps,
            "Gaps",
            "Planned and not there. Nothing was filled in.",
            {"run": text_cell("run_id"), "step": count_cell("step"), "what is missing": text_cell("gap")},
        ),
    ]
    return [each for each in grids if each is not None]


def sample_grid(chosen: Excerpt) -> Grid:
    """One path's completions, with the scores that exist."""
    scores = [name for name in SCORES if chosen.rows[name].notna().any()]
    columns = [
        Column("prompt", "said"),
        Column("at", "text"),
        Column("completion", "said"),
        *map(Column, scores),
    ]
    rows: list[list[str]] = []
    for row in chosen.rows.to_dict("records"):
        first = not rows or row["place"] == "reference"
        prompt = f"{row['prompt']} ({row['kind']})" if first else ""
        rows.append(
            [prompt, row["place"], said(row["completion"]), *(number(row[s], sign=True) for s in scores)]
        )
    return Grid(f"Against the {chosen.run.proxy} proxy", f"Run {chosen.run.run_id}.", columns, rows)


def pairs_grid(title: str, caption: str, names: tuple[str, str], values: Mapping[str, Any]) -> Grid:
    """Two columns: a mapping as it is."""
    rows = [
        [str(key), f"{value:,.1f}" if isinstance(value, float) else str(value)]
        for key, value in values.items()
    ]
    return Grid(title, caption, [Column(names[0], "text"), Column(names[1], "text")], rows)
