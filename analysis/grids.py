"""Tables for people: values rounded, intervals beside them, a dash where there is no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.excerpts import SCORES, Excerpt
from analysis.tables import Tables

MISSING = "–"


@dataclass(frozen=True)
class Column:
    title: str
    kind: str = "number"
    """CSS class: "number", "text" or "said" (a completion)."""


@dataclass(frozen=True)
class Grid:
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def number(value: Any, digits: int = 2, *, sign: bool = False) -> str:
    """A rounded number with a true minus sign; a dash where it is missing."""
    if value is None or pd.isna(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = round(float(value), digits) + 0.0  # + 0.0: there is no minus zero
    return f"{rounded:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def interval(value: Any, low: Any, high: Any, digits: int = 2, *, sign: bool = False) -> str:
    """ "0.50 [0.45, 0.55]", or the value alone where there is no interval."""
    shown = number(value, digits, sign=sign)
    if shown == MISSING or pd.isna(low) or pd.isna(high):
        return shown
    # A line may break before the bracket and never inside it.
    return f"{shown} [{number(low, digits)},\N{NO-BREAK SPACE}{number(high, digits)}]"


def whole(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) else f"{int(value):,}"


def said(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) or value == "" else str(value)


Cell = Callable[[Mapping[Any, Any]], str]


def _grid(
    table: pd.DataFrame, title: str, caption: str, cells: Mapping[str, tuple[str, Cell]]
) -> Grid | None:
    """``cells``: column title -> (kind, how a row's dictionary is written). None where the table has no rows.

    A column without a single value is left out.
    """
    if table.empty:
        return None
    records = table.to_dict("records")
    written = {name: [write(row) for row in records] for name, (_, write) in cells.items()}
    kept = {name: column for name, column in written.items() if set(column) != {MISSING}}
    columns = [Column(name, cells[name][0]) for name in kept]
    return Grid(title, caption, columns, list(zip(*kept.values(), strict=True)))


def _value(name: str, digits: int = 2) -> tuple[str, Cell]:
    return "number", lambda row: number(row[name], digits)


def _interval(name: str, digits: int = 2) -> tuple[str, Cell]:
    return "number", lambda row: interval(row[name], row.get(f"{name}_lo"), row.get(f"{name}_hi"), digits)


def _count(name: str) -> tuple[str, Cell]:
    return "number", lambda row: whole(row[name])


def _text(name: str) -> tuple[str, Cell]:
    return "text", lambda row: said(row[name])


def _yes(name: str) -> tuple[str, Cell]:
    return (
        "text",
        lambda row: MISSING if row[name] is None or pd.isna(row[name]) else "yes" if row[name] else "no",
    )


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
        _grid(
            path_claims(tables),
            "What each path run did",
            "Proxy: last minus first point. Up: peak minus first; down: last minus peak; in π_ref s.d. Wins: "
            "share of prompts on which gold prefers the last point to π_ref, ties counting one half."
            + ("" if tables.probes.get("sycophancy") else f" {sycophancy}"),
            {
                "run": _text("run_id"),
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
        _grid(
            tables.fits,
            "Fitted laws",
            "Best-of-n: d(α − βd). Reinforcement learning: d(α − β log d). d = √KL; KL in nats, scores in "
            "π_ref s.d. Brackets: 95 % bootstrap intervals. A peak beyond the data is an extrapolation.",
            {
                "curve": _text("curve"),
                "points": _count("n_points"),
                "α": _interval("alpha"),
                "β": _interval("beta"),
                "R²": _value("r2", 3),
                "KL at peak": _interval("peak_kl", 1),
                "peak inside data": _yes("peak_inside_data"),
                "why not fitted": _text("refused"),
            },
        ),
        _grid(
            tables.budgets,
            "KL budgets",
            "At the last point of each run with a budget. KL in nats per sequence, scores in π_ref s.d.",
            {
                "run": _text("run_id"),
                "budget": _value("budget", 1),
                "measured KL": _value("kl"),
                "ratio": _value("ratio"),
                "within 25 %": _yes("within"),
                "gold": _interval("gold"),
                "oracle": _interval("oracle"),
                "sycophancy": _interval("sycophancy"),
            },
        ),
        _grid(
            tables.reward_models,
            "Reward models",
            "On held-out pairs, before anything was optimised against them. ECE: expected calibration error.",
            {
                "model": _text("name"),
                "pairs": _count("pairs"),
                "held out": _count("heldout_pairs"),
                "accuracy": _interval("accuracy"),
                "ECE": _value("ece", 3),
                "length r": _value("length_correlation"),
                "agrees with oracle": _value("oracle_agreement"),
                "agrees with gold": _value("gold_agreement"),
                "labels flipped": _value("label_flip_share"),
            },
        ),
        _grid(
            tables.runs,
            "Runs",
            "Every planned run, also those that failed.",
            {
                "run": _text("run_id"),
                "method": _text("method"),
                "control": _text("control"),
                "proxy": _text("proxy"),
                "proxy seed": _count("proxy_seed"),
                "seed": _count("seed"),
                "points": _count("points"),
                "status": _text("status"),
                "error": _text("error"),
            },
        ),
        _grid(
            tables.gaps,
            "Gaps",
            "Planned and not there. Nothing was filled in.",
            {"run": _text("run_id"), "step": _count("step"), "what is missing": _text("gap")},
        ),
    ]
    return [grid for grid in grids if grid is not None]


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
