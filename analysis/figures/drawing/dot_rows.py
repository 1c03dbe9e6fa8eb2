"""Dots with intervals, a row for each label, the first on top."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.style import BLUE


def dot_rows(
    ax: Axes,
    rows: pd.DataFrame,
    labels: Sequence[str],
    *,
    column: str = "value",
    ends: tuple[str, str] = ("lo", "hi"),
    colors: Sequence[str] | str = BLUE,
    markers: Sequence[str] | str = "o",
) -> None:
    """One dot for each of `rows`, at the height of its `label`; a bar where there is an interval."""
    colors = [colors] * len(labels) if isinstance(colors, str) else colors
    for row in rows.to_dict("records"):
        place = labels.index(row["label"])
        ax.plot([row[end] for end in ends], [place, place], color=colors[place], linewidth=1.1)
        ax.plot(row[column], place, markers[place % len(markers)], color=colors[place], markersize=4.5,
                clip_on=False)  # fmt: skip
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)


def reference_line(ax: Axes, x: float) -> None:
    """The value that means nothing."""
    ax.axvline(x, color="0.6", linewidth=0.7, zorder=0)
