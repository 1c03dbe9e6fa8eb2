"""Drawing long rows: thin lines for seeds, a bold one to follow, its interval, and the peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.path_rows import MEAN, headline
from analysis.figures.drawing.style import LOOKS, MARK_LINE, Look, curve


def draw_quantities(
    ax: Axes,
    rows: pd.DataFrame,
    x: str,
    quantities: Sequence[str],
    looks: Mapping[str, Look] = LOOKS,
) -> None:
    """Every quantity of one proxy against column ``x``; a quantity without any value is left out."""
    for quantity in quantities:
        mine = rows[rows["quantity"] == quantity]
        if mine["value"].isna().all():
            continue
        look = looks[quantity]
        bold = headline(mine)
        for _, seed in mine[(mine["run_id"] != MEAN) & ~mine["run_id"].isin(bold["run_id"])].groupby(
            "run_id"
        ):
            curve(ax, seed[x], seed["value"], look, label="_seed", marker="", linewidth=0.6, alpha=0.55)
        interval = (bold["lo"], bold["hi"]) if bold["lo"].notna().any() else None
        curve(ax, bold[x], bold["value"], look, interval)


def mark_peak(ax: Axes, x: float, y: float, text: str, look: Look) -> None:
    """A vertical line and a ring at the peak, its label beside the foot of the line, clear of the curves."""
    mark_place(ax, x, look.color)
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
    room_below(ax)


def mark_place(ax: Axes, x: float, color: str = "0.5") -> None:
    """A thin dashed vertical line."""
    ax.axvline(x, color=color, linewidth=0.7, linestyle=MARK_LINE, zorder=0)


def room_below(ax: Axes) -> None:
    """Room under the curves for a label."""
    low, high = ax.dataLim.intervaly
    ax.update_datalim([(0, low - 0.14 * (high - low))], updatex=False)
    ax.autoscale_view(scalex=False)


def zero_line(ax: Axes) -> None:
    ax.axhline(0, color="0.75", linewidth=0.6, zorder=0)


def marks(ax: Axes, x: pd.Series, rows: pd.DataFrame, look: Look, hollow: pd.Series) -> None:
    """A mark for each of `rows` (value, lo, hi) with its interval, white inside where `hollow`."""
    spread = np.stack([rows["value"] - rows["lo"], rows["hi"] - rows["value"]]).clip(min=0)
    ax.errorbar(x, rows["value"], yerr=np.nan_to_num(spread), fmt="none", ecolor=look.color, elinewidth=0.9)
    for face, mine in ((look.color, ~hollow), ("white", hollow)):
        ax.plot(x[mine], rows["value"][mine], color=look.color, marker=look.marker, linestyle="none",
                markerfacecolor=face, label=look.label if face == look.color else None)  # fmt: skip


def beside(kl: pd.Series, place: int, count: int) -> pd.Series:
    """x of the mark at `place` of `count` that share a KL, side by side around it on a log axis."""
    return kl * 2 ** (0.6 * ((place + 0.5) / count - 0.5))
