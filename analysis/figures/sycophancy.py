"""Sycophancy beside the controls that could explain it away, over sqrt(KL)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import draw_quantities
from analysis.figures.drawing.path_rows import cases, peak
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import path_rows, seeds_and_prompts
from analysis.figures.drawing.small_multiples import TITLE, case_title
from analysis.figures.drawing.style import MARGIN, PAGE, canvas, shared_legend, sqrt_kl_axis, step_axis

PANELS = {
    "gives in to a wrong belief": (
        "sycophancy",
        "sycophancy_third_party",
        "sycophancy_floor",
        "false_agreement",
    ),
    "answers correctly": ("neutral_accuracy", "right_accuracy", "wrong_accuracy"),
    "no longer answers": ("forgetting", "abstention"),
}
MANY = 3
"""More methods and proxies than this fill a page downwards."""
QUANTITIES = tuple(name for names in PANELS.values() for name in names)


def numbers(material: Material) -> pd.DataFrame:
    return path_rows(material, (*QUANTITIES, "gold"))


def draw_over(material: Material, x: str) -> tuple[Figure, pd.DataFrame]:
    """A column per proxy and a row for each of `PANELS`, or the other way round where cases are many; gold's
    peak dashed; ``x`` is "distance" or "step"."""
    data = numbers(material)
    shown = data[data["quantity"] != "gold"]
    found = cases(shown)
    panels = {head: names for head, names in PANELS.items() if shown["quantity"].isin(names).any()}
    many = len(found) > MANY
    shape = (len(found), len(panels)) if many else (len(panels), len(found))
    height = min(1.45, (PAGE - MARGIN) / len(found)) if many else 1.45
    fig, axes = canvas(
        *shape, row_height=height, sharex=True if many else "col", sharey="col" if many else "row"
    )
    grid = axes.T if many else axes
    for row, names in enumerate(panels.values()):
        lowest = float(shown.loc[shown["quantity"].isin(names), "value"].min())
        grid[row, 0].set_ylim(min(-0.03, lowest - 0.05), 1.03)
        grid[row, 0].set_yticks(np.arange(0.25 * np.floor(4 * min(lowest, 0.0)), 1.01, 0.25))
    for column, case in enumerate(found):
        top = peak(data[(data["method"] == case.method) & (data["proxy"] == case.proxy)], "gold")
        for row, (ax, names) in enumerate(zip(grid[:, column], panels.values(), strict=True)):
            draw_quantities(ax, case.rows, x, names)
            last = column == len(found) - 1 if many else row == len(panels) - 1
            if x == "distance":
                first = column == 0 if many else row == 0
                limit = shown[x].max() if many else case.rows[x].max()
                sqrt_kl_axis(ax, float(limit), top=first, bottom=last)
            elif last:
                step_axis(ax)
            if top is not None and top.turned:
                place = top.distance if x == "distance" else top.step
                ax.axvline(place, color="0.5", linewidth=0.7, linestyle=(0, (2, 2)), zorder=0)
    if many:
        _label_many(axes, list(panels), [case_title(case.method, case.proxy) for case in found])
        shared_legend(fig, axes, columns=3)
        return fig, data
    for ax, case in zip(axes[0], found, strict=True):
        ax.set_title(case.label)
    for line, head in zip(axes, panels, strict=True):
        line[0].set_ylabel(f"share of prompts:\n{head}")
        line[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), labelspacing=0.9)
    return fig, data


def _label_many(axes: np.ndarray, heads: list[str], labels: list[str]) -> None:
    for ax, head in zip(axes[0], heads, strict=True):
        ax.set_title(f"share of prompts:\n{head}", fontsize=TITLE)
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label, fontsize=TITLE, rotation=0, ha="right", va="center")


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    return draw_over(material, "distance")


def lacks(material: Material) -> str | None:
    """The controls need matched prompts with and without a user's belief, which only some worlds have."""
    refused = material.tables.probes.get("sycophancy")
    if refused is not None:
        return refused
    return (
        "no run under path control left a measured point"
        if path_rows(material, ("sycophancy",)).empty
        else None
    )


def caption(material: Material) -> str:
    return (
        "How often the policy repeats a wrong belief that the user states, on facts that the reference "
        "policy answers correctly when asked neutrally, so that not knowing is not mistaken for giving in. "
        "First panel: the same wrong value stated by a third party (copying) or by nobody (chance) is "
        "what sycophancy must exceed; telling a mistaken user that they are right, whatever is answered, is "
        "flattery in words. Second: a policy that merely forgot loses accuracy on the neutral question as "
        "well; one that only contradicts loses it where the user is right. Third: facts forgotten relative "
        "to the reference policy (below zero: it answers more of them than that did), and answers "
        "withheld. Vertical dashes: where the gold score peaks. "
        f"{seeds_and_prompts(material)}"
    )


PLOT = Plot(
    title="Giving in to the user, and what else could explain it",
    description=(
        "Line charts, one column per proxy, against the square root of the KL: share of wrong beliefs "
        "repeated with "
        "third-party and chance controls, accuracy by what the user says, and forgetting and abstention."
    ),
    requirement="needs sycophancy",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
