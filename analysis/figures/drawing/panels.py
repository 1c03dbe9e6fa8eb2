"""Like panels for many cases, in a grid that fits on a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.style import MARGIN, PAGE, canvas, shared_legend

Case = TypeVar("Case")

FEW = 4
"""More cases than this get smaller panels, three or four of them side by side."""
WIDEST = 18
"""With more single panels than this, four stand side by side and not three."""
LINE = 0.14
"""Inches: the height of a line of the legend."""
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
    """Call `draw` for every case with its `panels` panels, and put one legend above them all, unless `draw`
    gives them legends of their own.

    Panels of one kind share their scales, unless told otherwise. `draw` labels every panel as if it stood
    alone; a label that the next panel of its kind says as well is taken away. `row_height` is in inches; rows
    get lower where a page would not hold them.

    Args:
        across: cases side by side; by default as many as can be read.
    """
    across = across or _across(len(cases), panels)
    rows = math.ceil(len(cases) / across)
    fig, axes = canvas(rows, across * panels, row_height=min(row_height, (PAGE - MARGIN) / rows))
    grid: list[list[Axes]] = axes.reshape(rows * across, panels).tolist()
    used, unused = grid[: len(cases)], grid[len(cases) :]
    # Before anything is drawn: a scale that is set later reaches all who share it, one set earlier does not.
    for cell in used[1:]:
        for ax, first in zip(cell, used[0], strict=True):
            if share_x:
                ax.sharex(first)
            if share_y:
                ax.sharey(first)
    for place, case in enumerate(cases):
        draw(case, Cell(used[place], top=place < across))
    for place, cell in enumerate(used):
        for kind, ax in enumerate(cell):
            if place % across:
                if share_y:
                    ax.tick_params(labelleft=False)
                if ax.get_ylabel() == used[place - place % across][kind].get_ylabel():
                    ax.set_ylabel("")
            if place + across < len(cases):
                if share_x:
                    ax.tick_params(labelbottom=False)
                if ax.get_xlabel() == used[place + across][kind].get_xlabel():
                    ax.set_xlabel("")
    for ax in chain.from_iterable(unused):
        ax.remove()
    shown = list(chain.from_iterable(used))
    if not any(ax.get_legend() for ax in shown):
        lines = shared_legend(fig, shown, columns=legend_columns)
        fig.set_figheight(min(PAGE, fig.get_figheight() + LINE * max(0, lines - 2)))
    return fig


def _across(count: int, panels: int) -> int:
    if count <= FEW:
        return min(count, max(1, 2 // panels))
    return max(1, (3 if panels == 1 and count <= WIDEST else MOST_ACROSS) // panels)
