"""Like panels for many cases, in a grid that fits on a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.style import MARGIN, PAGE, canvas, shared_legend

Case = TypeVar("Case")

FEW = 4
"""More cases than this get smaller panels, three or four of them side by side."""
WIDEST = 18
"""With more single panels than this, four stand side by side and not three."""
MOST_ACROSS = 4
"""A panel narrower than a quarter of the page cannot be read."""


@dataclass(frozen=True)
class Cell:
    """The panels of one case."""

    axes: Sequence[Axes]
    top: bool
    """Whether nothing stands above it."""

    @property
    def ax(self) -> Axes:
        """The panel of a case that has one."""
        (ax,) = self.axes
        return ax


def grid_of_panels(
    cases: Sequence[Case],
    draw: Callable[[Case, Cell], None],
    *,
    panels: int = 1,
    across: int | None = None,
    row_height: float = 2.1,
    share_x: bool = True,
    share_y: bool = True,
    legend_columns: int = 4,
) -> Figure:
    """Call `draw` for every case with its `panels` panels, and put one legend above them all.

    Panels of one kind share their scales, unless told otherwise, and only the outer ones name them: `draw`
    labels every panel as if it stood alone. `row_height` is in inches; rows get lower where a page would not
    hold them.

    Args:
        across: cases side by side; by default as many as can be read.
    """
    across = across or _across(len(cases), panels)
    rows = math.ceil(len(cases) / across)
    fig, axes = canvas(rows, across * panels, row_height=min(row_height, (PAGE - MARGIN) / rows))
    grid = axes.reshape(rows * across, panels)
    for place, case in enumerate(cases):
        for kind, ax in enumerate(grid[place]):
            if place and share_x:
                ax.sharex(grid[0, kind])
            if place and share_y:
                ax.sharey(grid[0, kind])
        draw(case, Cell(list(grid[place]), top=place < across))
        for ax in grid[place]:
            if place % across:
                ax.set_ylabel("")
                ax.tick_params(labelleft=not share_y)
            if place + across < len(cases):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=not share_x)
    for ax in grid[len(cases) :].flat:
        ax.remove()
    shared_legend(fig, grid[: len(cases)].flat, columns=legend_columns)
    return fig


def _across(count: int, panels: int) -> int:
    if count <= FEW:
        return min(count, max(1, 2 // panels))
    return max(1, (3 if panels == 1 and count <= WIDEST else MOST_ACROSS) // panels)
