"""Tables for people about KL itself: other papers' units, and runs compared where they have spent the
same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis.equal_kl.interpolated import agreement
from analysis.equal_kl.passport import CONVENTIONS, NOT_RECORDED
from analysis.probes import declined
from analysis.report.grid import MISSING, Column, Grid, interval, number
from analysis.tables.tables import Tables

COMPARED = {"gold": "gold", "oracle": "oracle"}
"""Scores whose differences the report lists; all are in the tables."""


def kl_grids(tables: Tables) -> list[Grid]:
    """Passport, equal-KL comparisons and the frontier's behaviour; a table without rows is left out."""
    return [
        *_passport(tables.passport),
        *_comparisons(tables.comparisons, tables.checkpoints),
        *_behaviour(tables.frontier_behaviour),
    ]


def _passport(table: pd.DataFrame) -> list[Grid]:
    if table.empty:
        return []
    laws = table[table["control"] == "path"]
    where = (
        "Each run as other papers would draw it: KL at the point where gold is highest / at the "
        "last point. An "
        "asterisk: gold is highest at an end, so it may not have turned. The conventions are listed below."
    )
    fitted = (
        "α / β of d(α − β log d) fitted to gold with d the root of that KL, on the same points of "
        "each path run. "
        "One policy, one gold, one set of prompts: all differences are those of the axis."
    )
    grids = [_by_convention(table, "The same run in other papers' units", where, _peak_and_last)]
    if len(laws):
        grids.append(_by_convention(laws, "The same law in other papers' units", fitted, _coefficients))
    return [*grids, _legend(table)]


def _by_convention(table: pd.DataFrame, title: str, caption: str, write: Callable[[pd.Series], str]) -> Grid:
    cells = {(row["run_id"], row["convention"]): write(row) for _, row in table.iterrows()}
    columns = [Column("run", "text"), *(Column(each.title) for each in CONVENTIONS.values())]
    runs = table["run_id"].drop_duplicates()
    return Grid(
        title, caption, columns, [[str(run), *(cells[run, name] for name in CONVENTIONS)] for run in runs]
    )


def _peak_and_last(row: pd.Series) -> str:
    if not row["recorded"]:
        return NOT_RECORDED
    star = "" if row["peak_turned"] else "*"
    # A break may come after the stroke, and nowhere else.
    return f"{_kl(row['peak_kl'])}{star}\N{NO-BREAK SPACE}/ {_kl(row['last_kl'])}"


def _coefficients(row: pd.Series) -> str:
    if not row["recorded"]:
        return NOT_RECORDED
    return f"{number(row['alpha'])}\N{NO-BREAK SPACE}/ {number(row['beta'])}"


def _kl(value: float) -> str:
    return number(value, 2 if abs(value) < 1 else 1)


def _legend(table: pd.DataFrame) -> Grid:
    ratios = table.groupby("convention")["ratio"]
    rows = []
    for name, each in CONVENTIONS.items():
        low, high = ratios.min()[name], ratios.max()[name]
        spread = MISSING if pd.isna(low) else f"{number(low)} to {number(high)}"
        rows.append([each.title, each.definition, spread, each.source])
    columns = [
        Column("convention", "text"),
        Column("definition", "text"),
        Column("× ours"),
        Column("who", "text"),
    ]
    caption = "π/π_ref is the ratio at the sampled token; × ours: over the runs, at gold's highest point."
    return Grid("Conventions of KL", caption, columns, rows)


def _comparisons(table: pd.DataFrame, checkpoints: pd.DataFrame) -> list[Grid]:
    grids = []
    for score, label in COMPARED.items():
        mine = table[table["score"] == score]
        if mine.empty:
            continue
        kls = sorted(mine["kl"].unique())
        columns = [
            Column("against", "text"),
            Column("difference", "text"),
            *(Column(f"KL {kl:g}") for kl in kls),
        ]
        rows = []
        for (_, context, a, b), pair in mine.assign(
            context=mine["proxy"].where(mine["between"] == "methods", mine["method"])
        ).groupby(["between", "context", "a", "b"], sort=False):
            at = {row["kl"]: row for row in pair.to_dict("records")}
            cells = [_difference(at[kl]) if kl in at else MISSING for kl in kls]
            rows.append([str(context), f"{a} − {b}", *cells])
        caption = (
            f"Difference in {label} score (π_ref s.d.) where both have spent that KL, in nats per sequence, "
            "interpolated between measured points. Brackets: 95 % bootstrap intervals, paired by "
            "prompt unless "
            "one side is the best-of-n pool. A dash: one of the two never got there."
            + (f" An asterisk: {_MEASURED} {agreement(checkpoints, score)}" if len(checkpoints) else "")
        )
        grids.append(Grid(f"At equal KL: {label}", caption, columns, rows))
    return grids


_MEASURED = (
    "not between points, but measured on policies whose weights lie between those of two neighbouring points."
)


def _difference(row: Mapping[Any, Any]) -> str:
    star = "*" if row["interpolated"] == "checkpoints" else ""
    return interval(row["difference"], row["lo"], row["hi"], sign=True) + star


def _behaviour(table: pd.DataFrame) -> list[Grid]:
    measured = table[table["refused"].isna()]
    if measured.empty:
        return []
    proxies = list(measured["proxy"].unique())
    columns = [Column("measure", "text"), Column("π_ref")]
    ends, key = {}, ["kind", "measure"]  # what a parser counts and a probe's rate may share a name
    for proxy in proxies:
        first = measured[(measured["proxy"] == proxy)]
        first = first[first["proxy_seed"] == first["proxy_seed"].min()]
        ends[proxy] = first[first["beta"] == first["beta"].min()].set_index(key)
        columns.append(Column(f"{proxy}, at KL {number(ends[proxy]['kl'].iloc[0], 1)}"))
    start = measured[measured["beta"] == float("inf")].drop_duplicates(key).set_index(key)
    rows = []
    for each in start.index:
        cells = [start.loc[each], *(ends[proxy].loc[each] for proxy in proxies)]
        rows.append(
            [str(each[1]).replace("_", " "), *(interval(c["value"], c["lo"], c["hi"]) for c in cells)]
        )
    refused = {str(r["measure"]): r["refused"] for r in table.dropna(subset="refused").to_dict("records")}
    caption = (
        "Outcomes (means per completion) and probes of the reference policy, and of the best policy for each "
        "proxy at the largest KL that the pool can show, without training. The pool's prompts are a natural "
        f"draw, grouped by fact; they are not those of the path runs. {declined(refused)}"
    ).rstrip()
    return [Grid("What the frontier does", caption, columns, rows)]
