"""The same scores over optimisation steps, with the KL that the steps have spent beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.drawing.lines import draw_quantities, leave_room, mark_peak, zero_line
from analysis.figures.drawing.path_rows import Case, Peak, cases, peak
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import SCORES, path_rows, seeds_and_prompts
from analysis.figures.drawing.small_multiples import MANY, TITLE, case_title, small_multiples
from analysis.figures.drawing.style import LOOKS, SD, canvas, shared_legend, step_axis

KL = "KL (nats per sequence)"


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """Per method and proxy scores on the left and measured KL on the right, both over optimisation steps: in
    a row, or two to a row and on the same scales where they are many."""
    data = path_rows(material, (*SCORES, "kl"))
    found = cases(data)
    if len(found) > MANY:
        return _many(found), data
    fig, axes = canvas(len(found), 2, row_height=1.9, sharex=True, width_ratios=(1.6, 1))
    for (left, right), case in zip(axes, found, strict=True):
        _panels(left, right, case, "gold peak, step")
        left.set_ylabel(f"{case.label}\nscore ({SD})")
        right.set_ylabel(KL)
        right.set_ylim(bottom=0)
        if _turned(case):
            leave_room(left)
    for ax in axes[-1]:
        step_axis(ax)
    shared_legend(fig, axes[:, :1])
    return fig, data


def _many(found: Sequence[Case]) -> Figure:
    fig, cells = small_multiples(len(found), panels=2, sharex=False)
    for cell, case in zip(cells, found, strict=True):
        left, right = cell.axes
        _panels(left, right, case, "step")
        left.set_title(case_title(case.method, case.proxy), fontsize=TITLE)
        right.set_title("KL in nats\nper sequence", fontsize=TITLE)
        if cell.left:
            left.set_ylabel(f"score ({SD})")
        for ax in cell.axes:
            step_axis(ax)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
            if not cell.bottom:
                ax.set_xlabel("")
    left, right = cells[0].axes
    leave_room(left)
    right.set_ylim(bottom=0)
    shared_legend(fig, np.array([cell.axes[:1] for cell in cells]))
    return fig


def _panels(left: Axes, right: Axes, case: Case, word: str) -> None:
    """`word` stands before the number of the step at which gold peaks."""
    zero_line(left)
    draw_quantities(left, case.rows, "step", SCORES)
    draw_quantities(right, case.rows, "step", ("kl",))
    if top := _turned(case):
        mark_peak(left, top.step, top.value, f"{word} {top.step:.0f}", LOOKS["gold"])
        right.axvline(top.step, color=LOOKS["gold"].color, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)


def _turned(case: Case) -> Peak | None:
    top = peak(case.rows, "gold")
    return top if top is not None and top.turned else None


def caption(material: Material) -> str:
    return (
        "The scores of the first figure in the order in which they happened, and the KL from the reference "
        "policy that "
        "the steps had spent. Steps depend on learning rate and batch size, KL does not: compare methods "
        "over KL, and "
        f"read here when things happen in one run. Dashed: where gold peaks. {seeds_and_prompts(material)}"
    )


PLOT = Plot(
    title="When it happens: scores and KL over optimisation steps",
    description=(
        "Line charts, one row per proxy: proxy, gold and oracle score over optimisation steps on the left, "
        "KL from the "
        "reference policy over the same steps on the right."
    ),
    requirement="needs a path run",
    lacks=lambda material: (
        "no run under path control left scored points" if path_rows(material).empty else None
    ),
    draw=draw,
    caption=caption,
)
