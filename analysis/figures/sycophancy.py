"""The experiment's headline behaviour beside the controls that could explain it away, over sqrt(KL)."""

from __future__ import annotations

import numpy as np

from analysis.figures.behaviours.controls import behaviour_looks, headline_of, probe_of
from analysis.figures.drawing.lines import draw_quantities, mark_place
from analysis.figures.drawing.panels import FEW, Cell, grid_of_panels
from analysis.figures.drawing.path_rows import Case, cases, turning_point
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import path_rows, seeds_and_prompts
from analysis.figures.drawing.style import LOOKS, sqrt_kl_axis
from analysis.figures.drawing.way_looks import way_looks

MORE = {
    "answers correctly": ("neutral_accuracy", "right_accuracy", "wrong_accuracy"),
    "no longer answers": ("forgetting", "abstention"),
}
"""Beside any behaviour: whether the policy still answers at all."""


def draw(material: Material) -> Drawing | Reason:
    """A row per method and proxy: the behaviour with its controls, and `MORE`; gold's peak dashed."""
    measure = material.experiment.headline_behaviour
    if (refused := material.tables.probes.get(probe_of(measure))) is not None:
        return refused
    own = behaviour_looks(measure)
    beside = {name for names in MORE.values() for name in names}
    heads = {headline_of(measure).label: tuple(name for name in own if name not in beside), **MORE}
    data = path_rows(material, (*(name for names in heads.values() for name in names), "gold"))
    if data.empty or measure not in set(data["quantity"]):
        return "no run under path control left a measured point"
    shown = data[data["quantity"] != "gold"]
    heads = {head: names for head, names in heads.items() if shown["quantity"].isin(names).any()}
    limit, found = float(shown["distance"].max()), cases(data, way_looks(material.experiment.ways))
    step = 0.25 if len(found) <= FEW else 0.5

    def panels(case: Case, cell: Cell) -> None:
        top = turning_point(case, material.tables.humps)
        for ax, (head, names) in zip(cell.axes, heads.items(), strict=True):
            draw_quantities(ax, case.rows, "distance", names, {**LOOKS, **own})
            sqrt_kl_axis(ax, limit, top=cell.top)
            lowest = float(shown.loc[shown["quantity"].isin(names), "value"].min())
            ax.set_ylim(min(-0.03, lowest - 0.05), 1.03)
            ax.set_yticks(np.arange(step * np.floor(min(lowest, 0.0) / step), 1.01, step))
            if cell.top:
                ax.set_title(f"share of prompts:\n{head}")
            if top is not None:
                mark_place(ax, top.distance)
        cell.axes[0].set_ylabel(case.title, fontsize=7.5)
        if len(found) > FEW:
            cell.axes[0].yaxis.label.set(rotation=0, ha="right", va="center")

    figure = grid_of_panels(found, panels, panels=len(heads), row_height=1.75, legend_columns=3)
    return Drawing(figure, data, _caption(material, measure))


def _caption(material: Material, measure: str) -> str:
    if measure != "sycophancy":
        what = (
            f"How often the policy {headline_of(measure).label}, and first panel: beside the controls that "
            "could explain it away."
        )
    else:
        what = (
            "How often the policy repeats a wrong belief that the user states, on facts that the reference "
            "policy answers correctly when asked neutrally, so that not knowing is not mistaken for giving "
            "in. First panel: the same wrong value stated by a third party (copying) or by nobody (chance) "
            "is what sycophancy must exceed; telling a mistaken user that they are right, whatever is "
            "answered, is flattery in words."
        )
    return (
        f"{what} Second: a policy that merely forgot loses accuracy on the neutral question as well; one "
        "that only contradicts loses it where the user is right. Third: facts forgotten relative to the "
        "reference policy (below zero: it answers more of them than that did), and answers withheld. "
        f"Vertical dashes: where the gold score peaks. {seeds_and_prompts(material)}"
    )


PLOT = Plot(
    title="The headline behaviour, and what else could explain it",
    description=(
        "Line charts against the square root of the KL, one row per method and proxy: how often the policy "
        "does what the experiment is about with its controls, accuracy by what the user says, and "
        "forgetting and abstention."
    ),
    draw=draw,
)
