"""Methods and proxies compared where they have spent the same KL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.equal_kl.interpolated import agreement
from analysis.figures.drawing.lines import beside, marks, zero_line
from analysis.figures.drawing.panels import FEW, Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import SD, Look, kl_axis
from analysis.figures.drawing.way_looks import way_looks

TRUTHS = ("gold", "oracle")
PANEL = ["between", "context"]
MOST = 12
"""Comparisons on a page; all are in their table."""
MEASURED = (
    "Hollow marks are read so. Filled ones, where both sides kept their weights, are measured: on policies "
    "at that KL whose weights lie on the line between those of two neighbouring points."
)


def draw(material: Material) -> Drawing | Reason:
    """One case per proxy (methods minus the baseline) and per pair of proxies; a panel per truth."""
    compared = _numbers(material)
    data = _shown(compared)
    if data.empty:
        return "no two completed path runs (or a path run and a pool) have scores at the same KL"
    truths = [name for name in TRUTHS if name in set(data["score"])]
    looks, kls = way_looks(material.experiment.ways), sorted(data["kl"].unique())
    some_measured = bool((data["interpolated"] == "checkpoints").any())

    def panels(case: Mapping[Any, Any], cell: Cell) -> None:
        mine = data[(data["between"] == case["between"]) & (data["context"] == case["context"])]
        sides = list(dict.fromkeys(mine["side"]))
        for ax, truth in zip(cell.axes, truths, strict=True):
            zero_line(ax)
            for place, side in enumerate(sides):
                rows = mine[(mine["score"] == truth) & (mine["side"] == side)]
                x = beside(rows["kl"], place, len(sides))
                marks(ax, x, rows, looks[side], (rows["interpolated"] == "points") & some_measured)
            kl_axis(ax, kls)
            ax.set_title(f"{_title(case, sides, looks)}\n{truth}")
            ax.set_ylabel(f"difference ({SD})")

    found = data.drop_duplicates(PANEL).to_dict("records")
    figure = grid_of_panels(found, panels, panels=len(truths), row_height=1.9, share_y=len(found) > FEW)
    left = compared.drop_duplicates(PANEL).shape[0] - len(found)
    return Drawing(figure, data, _caption(material, data, left, some_measured))


def _numbers(material: Material) -> pd.DataFrame:
    """The comparisons of gold and oracle; ``value`` is the difference, ``side`` the method it is about and
    ``context`` what both sides have in common, or are."""
    table = material.tables.comparisons
    table = table[table["score"].isin(TRUTHS)].rename(columns={"difference": "value"})
    methods = table["between"] == "methods"
    return table.assign(
        side=table["a"].where(methods, table["method"]),
        context=table["proxy"].where(methods, table["a"] + " − " + table["b"]),
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST` comparisons: those with most sides first, then as they come."""
    sides = table.groupby(PANEL, sort=False)["side"].nunique()
    if len(sides) <= MOST:
        return table
    cases = sides.sort_values(ascending=False, kind="stable").index[:MOST]
    kept = [table[(table["between"] == between) & (table["context"] == what)] for between, what in cases]
    return pd.concat(kept, ignore_index=True)


def _title(case: Mapping[Any, Any], sides: list[str], looks: Mapping[str, Look]) -> str:
    if case["between"] == "proxies":
        return f"{case['context']} proxy"
    first = looks[sides[0]].label if len(sides) == 1 else "each method"
    return f"{first} − {looks[case['b']].label}\n{case['proxy']} proxy"


def _caption(material: Material, data: pd.DataFrame, left: int, some_measured: bool) -> str:
    runs = data[["runs_a", "runs_b"]].to_numpy()
    low, high = int(runs.min()), int(runs.max())
    parts = [
        "Differences in score at the same KL, each curve read where it first reaches that KL, between its "
        "measured points. Above zero, the method named does better than the baseline at that price; where "
        "two proxies are compared, the first does better than the second. Bars are 95 % bootstrap "
        "intervals over prompts and, where there are several, seeds: "
        f"{low if low == high else f'{low} to {high}'} per side.",
        "" if data["paired"].all() else
        "The best-of-n pool has prompts of its own: its differences are not paired.",
        f"{MEASURED} {agreement(material.tables.checkpoints, 'gold')}" if some_measured else "",
        "A mark is missing where one of the two never got.",
        f"{left} further comparisons are in the table `comparisons`." if left > 0 else "",
    ]  # fmt: skip
    return " ".join(part for part in parts if part)


PLOT = Plot(
    title="Compared at equal KL",
    description="Differences in gold and oracle score at fixed KL, with intervals: methods, and proxies.",
    draw=draw,
)
