"""Small multiples: many cases of like panels in a grid that fits on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.method_looks import method_looks
from analysis.figures.drawing.style import MARGIN, PAGE, canvas

FEW = 18
"""With more panels than this, four stand side by side and not three."""
MANY = 4
"""More cases than this of two panels each make a column too tall to read."""
TITLE = 7.5
"""Font size of the two lines above a panel."""


@dataclass(frozen=True)
class Cell:
    """The panels of one case, and where they stand."""

    axes: Sequence[Axes]
    left: bool
    """Whether its scales are labelled on the left: it is the first of its row."""
    top: bool
    bottom: bool
    """Whether nothing stands below it."""


def small_multiples(
    count: int, *, panels: int = 1, row_height: float = 1.6, sharex: bool = True, sharey: bool = True
) -> tuple[Figure, list[Cell]]:
    """A grid of `count` cases with `panels` panels each, four panels at most in a row and no higher than a
    page. Panels of one kind share their scales, unless told otherwise."""
    across = (3 if panels == 1 and count <= FEW else 4) // panels
    rows = math.ceil(count / across)
    fig, axes = canvas(rows, across * panels, row_height=min(row_height, (PAGE - MARGIN) / rows))
    grid = axes.reshape(rows * across, panels)
    cells = []
    for place in range(count):
        left, bottom = place % across == 0, place + across >= count
        for kind, ax in enumerate(grid[place]):
            if place and sharey:
                ax.sharey(grid[0, kind])
            if place and sharex:
                ax.sharex(grid[0, kind])
            ax.tick_params(labelleft=left or not sharey, labelbottom=bottom or not sharex)
        cells.append(Cell(list(grid[place]), left, place < across, bottom))
    for ax in grid[count:].flat:
        ax.remove()
    return fig, cells


def case_title(method: str, proxy: str, rest: str = "") -> str:
    """Two lines: the method as people call it, and what it was optimised against."""
    return f"{method_looks([method])[method].label}\n{proxy} proxy{rest}"
