"""Drawing long rows: thin lines for seeds, a bold one to follow, its interval, and the peak."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.path_rows import MEAN, headline
from analysis.figures.drawing.style import LOOKS, Look, curve


def draw_quantities(ax: Axes, rows: pd.DataFrame, x: str, quantities: Sequence[str]) -> None:
    """Every quantity of one proxy against column ``x``; a quantity without any value is left out."""
    for quantity in quantities:
        mine = rows[rows["quantity"] == quantity]
        if mine["value"].isna().all():
            continue
        look = LOOKS[quantity]
        bold = headline(mine)
        for _, seed in mine[(mine["run_id"] != MEAN) & ~mine["run_id"].isin(bold["run_id"])].groupby(
            "run_id"
        ):
            curve(ax, seed[x], seed["value"], look, label="_seed", marker="", linewidth=0.6, alpha=0.55)
        interval = (bold["lo"], bold["hi"]) if bold["lo"].notna().any() else None
        curve(ax, bold[x], bold["value"], look, interval)


def mark_peak(ax: Axes, x: float, y: float, text: str, look: Look) -> None:
    """A vertical line and a ring at the peak, its label beside the foot of the line, clear of the curves."""
    ax.axvline(x, color=look.color, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
    ax.plot(
        x, y, marker="o", markersize=8, markerfacecolor="none", markeredgecolor=look.color, linestyle="none"
    )
    low, high = ax.get_xlim()
    right = x < low + 0.6 * (high - low)
    ax.annotate(
        text, (x, 0), xycoords=("data", "axes fraction"), xytext=(3 if right else -3, 3),
        textcoords="offset points", ha="left" if right else "right", va="bottom", fontsize=7,
        color=look.color,
    )  # fmt: skip


def leave_room(ax: Axes) -> None:
    """Room under the curves for the peak's label."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.12 * (high - low), high)


def zero_line(ax: Axes) -> None:
    ax.axhline(0, color="0.75", linewidth=0.6, zorder=0)
