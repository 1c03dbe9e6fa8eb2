"""Methods and proxies compared where they have spent the same KL."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.equal_kl.interpolated import agreement
from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.method_looks import method_looks
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.small_multiples import MANY, TITLE, small_multiples
from analysis.figures.drawing.style import NATS, SD, Look, canvas, shared_legend

TRUTHS = ("gold", "oracle")
PANEL = ["between", "context"]
MOST = 12
"""Comparisons on a page; all are in their table."""
MEASURED = (
    "Hollow marks are read so. Filled ones, where both sides kept their weights, are measured: on policies "
    "at that KL whose weights lie on the line between those of two neighbouring points."
)


def numbers(material: Material) -> pd.DataFrame:
    """The comparisons of gold and oracle; ``value`` is the difference, ``side`` the method it is about and
    ``context`` what both sides have in common, or are."""
    return _shown(_all(material))


def _all(material: Material) -> pd.DataFrame:
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


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One row per proxy (methods minus the baseline) and per pair of proxies; gold and oracle in columns."""
    data = numbers(material)
    truths = [name for name in TRUTHS if name in set(data["score"])]
    rows = data.drop_duplicates(PANEL).to_dict("records")
    looks = method_looks(list(dict.fromkeys(data["side"])))
    if len(rows) > MANY:
        return _many(data, rows, truths, looks), data
    fig, axes = canvas(len(rows), len(truths), row_height=1.9, sharex=True)
    for line, case in zip(axes, rows, strict=True):
        mine = data[(data["between"] == case["between"]) & (data["context"] == case["context"])]
        for ax, truth in zip(line, truths, strict=True):
            _panel(ax, mine[mine["score"] == truth], looks, some_measured=_some_measured(data))
            kl_axis(ax, sorted(data["kl"].unique()), bottom=case is rows[-1])
            ax.set_ylabel(f"{truth} ({SD})")
        line[0].set_ylabel(f"{_title(case)}\n{truths[0]} ({SD})")
    shared_legend(fig, axes, columns=4)
    return fig, data


def _many(
    data: pd.DataFrame, rows: list[dict[Hashable, Any]], truths: list[str], looks: dict[str, Look]
) -> Figure:
    fig, cells = small_multiples(len(rows), panels=len(truths), sharex=False)
    for cell, case in zip(cells, rows, strict=True):
        mine = data[(data["between"] == case["between"]) & (data["context"] == case["context"])]
        for ax, truth in zip(cell.axes, truths, strict=True):
            _panel(ax, mine[mine["score"] == truth], looks, some_measured=_some_measured(data))
            kl_axis(ax, sorted(data["kl"].unique()), bottom=cell.bottom)
            ax.set_title(f"{_title(case)}\n{truth}".replace(", ", ",\n", 1), fontsize=TITLE)
        if cell.left:
            cell.axes[0].set_ylabel(f"difference ({SD})")
    shared_legend(fig, np.array([cell.axes for cell in cells]), columns=3)
    return fig


def _title(case: Mapping[Any, Any]) -> str:
    if case["between"] == "proxies":
        return f"{case['context']} proxy"
    return f"minus {method_looks([case['b']])[case['b']].label}, {case['proxy']} proxy"


def _some_measured(data: pd.DataFrame) -> bool:
    return bool((data["interpolated"] == "checkpoints").any())


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], *, some_measured: bool) -> None:
    zero_line(ax)
    sides = list(dict.fromkeys(rows["side"]))
    for place, side in enumerate(sides):
        mine = rows[rows["side"] == side]
        look = looks[side]
        # Beside each other around the KL that they share.
        x = mine["kl"] * 2 ** (0.6 * ((place + 0.5) / len(sides) - 0.5))
        spread = np.stack([mine["value"] - mine["lo"], mine["hi"] - mine["value"]]).clip(min=0)
        ax.errorbar(x, mine["value"], yerr=spread, fmt="none", ecolor=look.color, elinewidth=0.9)
        ax.plot(x, mine["value"], color=look.color, marker=look.marker, linestyle="none", label=look.label)
        hollow = (mine["interpolated"] == "points").to_numpy() & some_measured
        ax.plot(x[hollow], mine["value"][hollow], color=look.color, marker=look.marker, linestyle="none",
                markerfacecolor="white")  # fmt: skip


def kl_axis(ax: Axes, kls: list[float], *, bottom: bool) -> None:
    """x is the KL in nats on a log scale, a tick at each of ``kls``."""
    if ax.get_xscale() != "log":  # panels that share the axis have all this from the first of them
        ax.set_xscale("log", base=2)
        ax.set_xlim(kls[0] / 2**0.5, kls[-1] * 2**0.5)
        ax.xaxis.set_major_locator(FixedLocator(kls))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if bottom:
        ax.set_xlabel(NATS)


def caption(material: Material) -> str:
    data = numbers(material)
    left = _all(material).drop_duplicates(PANEL).shape[0] - data.drop_duplicates(PANEL).shape[0]
    runs = data[["runs_a", "runs_b"]].to_numpy()
    pooled = not data["paired"].all()
    return (
        "Differences in score at the same KL, each curve read where it first reaches that KL, between its "
        "measured points. Above zero, the method named does better than the baseline at that price; where "
        "two proxies are compared, the first does better than the second. Bars are 95 % bootstrap intervals "
        f"over prompts and, where there are several, seeds: {_count(int(runs.min()), int(runs.max()))} per "
        "side. "
        + ("The best-of-n pool has prompts of its own: its differences are not paired. " if pooled else "")
        + (f"{MEASURED} {agreement(material.tables.checkpoints, 'gold')} " if _some_measured(data) else "")
        + "A mark is missing where one of the two never got."
        + (f" {left} further comparisons are in the table `comparisons`." if left > 0 else "")
    )


def _count(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def lacks(material: Material) -> str | None:
    if not numbers(material).empty:
        return None
    return "no two completed path runs (or a path run and a pool) have scores at the same KL"


PLOT = Plot(
    title="Compared at equal KL",
    description="Differences in gold and oracle score at fixed KL, with intervals: methods, and proxies.",
    requirement="needs two methods or two proxies, or a path run and a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
