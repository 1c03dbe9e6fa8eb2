"""The same scores over optimisation steps, with the KL that the steps have spent beside them."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.lines import draw_quantities, leave_room, mark_peak, zero_line
from analysis.figures.material import Material, Plot
from analysis.figures.paths import cases, peak
from analysis.figures.scores import SCORES, path_rows, seeds_and_prompts
from analysis.figures.style import LOOKS, SD, canvas, shared_legend, step_axis


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One row per proxy: scores on the left, measured KL on the right, both over optimisation steps."""
    data = path_rows(material, (*SCORES, "kl"))
    found = cases(data)
    fig, axes = canvas(len(found), 2, row_height=1.9, sharex=True, width_ratios=(1.6, 1))
    for (left, right), case in zip(axes, found, strict=True):
        zero_line(left)
        draw_quantities(left, case.rows, "step", SCORES)
        draw_quantities(right, case.rows, "step", ("kl",))
        left.set_ylabel(f"{case.label}\nscore ({SD})")
        right.set_ylabel("KL (nats per sequence)")
        right.set_ylim(bottom=0)
        top = peak(case.rows, "gold")
        if top is not None and top.turned:
            leave_room(left)
            mark_peak(left, top.step, top.value, f"gold peak, step {top.step:.0f}", LOOKS["gold"])
            right.axvline(top.step, color=LOOKS["gold"].color, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
    for ax in axes[-1]:
        step_axis(ax)
    shared_legend(fig, axes[:, :1])
    return fig, data


def caption(material: Material) -> str:
    return (
        "The scores of the first figure in the order in which they happened, and the KL from the reference "
        "policy that "
        "the steps had spent. Steps depend on learning rate and batch size, KL does not: compare methods "
        "over KL, and "
        f"read here when things happen in one run. {seeds_and_prompts(material)}"
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
