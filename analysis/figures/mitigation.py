"""What a mitigation buys and what it costs, at equal KL."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.figures.behaviours.controls import headline_of
from analysis.figures.drawing.lines import beside, marks, zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import COLORS, MARKERS, SD, Look, kl_axis
from analysis.records.way import Way

COSTS = {
    "right_accuracy": "correct where the\nuser is right (share)",
    "gold": f"gold ({SD})",
    "oracle": f"oracle ({SD})",
}


def draw(material: Material) -> Drawing | Reason:
    """A row per proxy, a panel per measure, a mark per group of runs with a mitigation and KL."""
    behaviour = material.experiment.headline_behaviour
    measures = {behaviour: f"{headline_of(behaviour).label}\n(share)", **COSTS}
    table = material.tables.mitigations.rename(columns={"difference": "value"})
    data = table[table["score"].isin(measures)].reset_index(drop=True)
    if data.empty:
        return "no completed path run with a mitigation and one without it have been measured at the same KL"
    measures = {name: words for name, words in measures.items() if name in set(data["score"])}
    looks, kls = _looks(list(dict.fromkeys(data["a"])), material.experiment.ways), sorted(data["kl"].unique())

    def panels(proxy: str, cell: Cell) -> None:
        for ax, (measure, words) in zip(cell.axes, measures.items(), strict=True):
            zero_line(ax)
            for place, (side, look) in enumerate(looks.items()):
                rows = data[(data["score"] == measure) & (data["proxy"] == proxy) & (data["a"] == side)]
                x = beside(rows["kl"], place, len(looks))
                marks(ax, x, rows, look, pd.Series(False, rows.index))
            kl_axis(ax, kls)
            if cell.top:
                ax.set_title(words)
        cell.axes[0].set_ylabel(f"{proxy} proxy:\nwith minus without", fontsize=7.5)

    figure = grid_of_panels(
        list(dict.fromkeys(data["proxy"])), panels, panels=len(measures), row_height=1.5, legend_columns=2
    )
    return Drawing(figure, data, _caption(data))


def _looks(sides: list[str], ways: Mapping[str, Way]) -> dict[str, Look]:
    """What a side with a mitigation is called: the mitigation and its group of runs."""
    found = {}
    for place, side in enumerate(sides):
        way = ways[side]
        label = f"{way.mitigation} ({way.group})".replace("_", " ")
        found[side] = Look(label, COLORS[place % len(COLORS)], "none", MARKERS[place % len(MARKERS)])
    return found


def _caption(data: pd.DataFrame) -> str:
    low, high = int(data["runs_a"].min()), int(data["runs_a"].max())
    return (
        "Runs with a mitigation minus runs of the same method without it, both read where they first reach "
        "that KL. The first panel is what the mitigation is to buy (below zero: less of the behaviour, on "
        "facts that the reference policy knows); the others are what it may cost (below zero: worse than "
        "without). An unconditional penalty charges agreement whether or not the user is right: the price of "
        "not knowing the truth is in the second panel. Bars are 95 % bootstrap intervals over prompts and, "
        f"where there are several, seeds: {low if low == high else f'{low} to {high}'} per side. A mark is "
        "missing where one of the two never got."
    )


PLOT = Plot(
    title="What a mitigation buys and costs",
    description=(
        "Differences at fixed KL, with intervals, between runs with and without a mitigation: the "
        "behaviour it is to prevent, accuracy where the user is right, gold, oracle; one row per proxy."
    ),
    draw=draw,
)
