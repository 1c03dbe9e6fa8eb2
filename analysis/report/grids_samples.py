"""Tables for people that are not tables of numbers: completions, and mappings as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.report.excerpts import SCORES, Excerpt
from analysis.study.grid import Grid, Heading, number, said


def sample_grid(chosen: Excerpt) -> Grid:
    """One path's completions, with the scores that exist."""
    scores = [name for name in SCORES if chosen.rows[name].notna().any()]
    columns = [
        Heading("prompt", "said"),
        Heading("at", "text"),
        Heading("completion", "said"),
        *map(Heading, scores),
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
    return Grid(title, caption, [Heading(names[0], "text"), Heading(names[1], "text")], rows)


def browser_grids(table: pd.DataFrame) -> list[tuple[str, list[Grid]]]:
    """(heading, one grid per point) for every proxy of the browser."""
    found = []
    columns = [
        *(Heading("does", "text"), Heading("of the widest"), Heading("of all")),
        *(Heading("prompt", "said"), Heading("completion", "said")),
        *(Heading("proxy"), Heading("gold"), Heading("gap")),
    ]
    for (proxy, run_id), rows in table.groupby(["proxy", "run_id"], sort=False):
        grids = []
        for (step, kl), point in rows.groupby(["step", "kl"], sort=True):
            lines = [
                [row["does"], f"{row['among_widest']} of {row['widest']}",
                 f"{100 * row['share_of_all']:.0f} %", row["prompt"], said(row["completion"]),
                 *(number(row[name], sign=True) for name in ("proxy_score", "gold", "gap"))]
                for row in point.to_dict("records")
            ]  # fmt: skip
            commonest = point.iloc[0]["does"]
            title = f"KL {number(kl)} nats, step {step}: most often {commonest}"
            grids.append(Grid(title, "", columns, lines))
        found.append((f"Against the {proxy} proxy (run {run_id})", grids))
    return found
