"""Scores and the headline behaviour over optimisation steps, with the KL that the steps have spent."""

from __future__ import annotations

from analysis.figures.behaviours.controls import behaviour_looks
from analysis.figures.drawing.lines import draw_quantities, mark_peak, mark_place, zero_line
from analysis.figures.drawing.panels import FEW, Cell, grid_of_panels
from analysis.figures.drawing.path_rows import Case, cases, turning_point
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import SCORES, path_rows, seeds_and_prompts
from analysis.figures.drawing.style import LOOKS, SD, step_axis
from analysis.figures.drawing.way_looks import way_looks

KL = "KL (nats per sequence)"


def draw(material: Material) -> Drawing | Reason:
    """Per method and proxy: scores, measured KL and, where there is room, the headline behaviour."""
    behaviour = material.experiment.headline_behaviour
    data = path_rows(material, (*SCORES, "kl", behaviour))
    if data.empty:
        return "no run under path control left scored points"
    looks = {**LOOKS, **behaviour_looks(behaviour)}
    found = cases(data, way_looks(material.experiment.ways))
    shown = ["scores", "kl"]
    if behaviour in set(data["quantity"]) and len(found) <= FEW:
        shown.append(behaviour)
    else:
        data = data[data["quantity"] != behaviour].reset_index(drop=True)

    def panels(case: Case, cell: Cell) -> None:
        top = turning_point(case, material.tables.humps)
        for ax, kind in zip(cell.axes, shown, strict=True):
            zero_line(ax)
            draw_quantities(ax, case.rows, "step", SCORES if kind == "scores" else (kind,), looks)
            step_axis(ax)
            if kind == "scores":
                ax.set_title(case.title)
                ax.set_ylabel(f"score ({SD})")
            else:
                ax.set_title(KL if kind == "kl" else "share of prompts")
            if top is not None and kind == "scores":
                mark_peak(ax, top.step, top.value, f"gold peak, step {top.step:.0f}", LOOKS["gold"])
            elif top is not None:
                mark_place(ax, top.step, LOOKS["gold"].color)

    figure = grid_of_panels(found, panels, panels=len(shown), row_height=1.9)
    caption = (
        "The scores of the first figure in the order in which they happened, and the KL from the reference "
        "policy that the steps had spent. Steps depend on learning rate and batch size, KL does not: compare "
        "methods over KL, and read here when things happen in one run. Dashed: where gold peaks. "
        f"{seeds_and_prompts(material)}"
    )
    return Drawing(figure, data, caption)


PLOT = Plot(
    title="When it happens: scores and KL over optimisation steps",
    description=(
        "Line charts over optimisation steps, one case per method and proxy: proxy, gold and oracle score, "
        "the KL from the reference policy, and the rate of the behaviour that the experiment is about."
    ),
    draw=draw,
)
