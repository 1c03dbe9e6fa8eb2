"""Sycophancy and its controls again, in the order in which training went through them."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.sycophancy import draw_over, lacks


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    return draw_over(material, "step")


def caption(material: Material) -> str:
    return (
        "The rates of the sycophancy figure over optimisation steps: what moves first, and whether it moves "
        "before the gold "
        f"score peaks (vertical dashes). {seeds_and_prompts(material)}"
    )


PLOT = Plot(
    title="When the policy starts giving in",
    description=(
        "Line charts, one column per proxy, over optimisation steps: share of wrong beliefs repeated with "
        "third-party "
        "and chance controls, accuracy by what the user says, and forgetting and abstention."
    ),
    requirement="needs sycophancy",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
