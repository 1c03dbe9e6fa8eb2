"""Sycophancy as it emerges, one curve per dose of what could cause it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.dose_rows import dose_colours, dosed, seeds, series_name
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import canvas, sqrt_kl_axis, step_axis

MEASURE = "sycophancy"
MOST = 4
"""Series; more panels cannot be read side by side."""
MARKERS = "osD^vP*X"


def _rows(material: Material) -> pd.DataFrame:
    return dosed(material, [MEASURE])


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """A column per series, √KL above and steps below; colour is the dose."""
    data = _rows(material)
    series = list(dict.fromkeys(data["dose_of"]))[:MOST]
    data = data[data["dose_of"].isin(series)].reset_index(drop=True)
    fig, axes = canvas(2, len(series), row_height=1.75, sharey=True)
    for column, name in enumerate(series):
        mine = data[data["dose_of"] == name]
        for ax, x in ((axes[0, column], "sqrt_kl"), (axes[1, column], "step")):
            _curves(ax, mine, x)
        sqrt_kl_axis(axes[0, column], float(mine["sqrt_kl"].max()))
        step_axis(axes[1, column])
        axes[0, column].set_title(series_name(name), fontsize=8)
        axes[1, column].legend(
            title="dose", loc="upper center", bbox_to_anchor=(0.5, -0.38), fontsize=6.5, title_fontsize=7,
            ncols=3 if len(series) > 2 else 4, columnspacing=0.9, handlelength=1.4,
        )  # fmt: skip
    top = float(np.nanmax(data["rate_hi"]))
    for row in axes:
        row[0].set_ylim(0, min(1.0, 1.05 * top))
        row[0].set_ylabel("share of known facts on\nwhich it gives in")
    return fig, data


def _curves(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    for place, (dose, hue) in enumerate(dose_colours(rows["dose"].tolist()).items()):
        mine = rows[rows["dose"] == dose].sort_values("step")
        marker = MARKERS[place % len(MARKERS)]
        ax.plot(
            mine[x], mine["rate"], color=hue, marker=marker, markersize=2.6, linewidth=1.1, label=f"{dose:g}"
        )
        ax.fill_between(mine[x], mine["rate_lo"], mine["rate_hi"], color=hue, alpha=0.12, linewidth=0)


def lacks(material: Material) -> str | None:
    if _rows(material).empty:
        return "needs proxies with a `dose`, at least two of one series, and a world that measures sycophancy"
    return None


def caption(material: Material) -> str:
    data = _rows(material)
    natural = (
        " Where users are reliable no annotator is biased: agreeing is a shortcut that pays by itself."
        if "user_reliability" in set(data["dose_of"])
        else ""
    )
    return (
        "How often the policy states the user's wrong belief on facts that the reference policy knows, "
        "over the square root of the KL (above) and over optimisation steps (below), for every dose of "
        "what was varied; "
        f"the least dose is darkest.{natural} {seeds(data)}."
    )


PLOT = Plot(
    title="How sycophancy emerges, dose by dose",
    description=(
        "Line charts, one column per series of doses: share of wrong beliefs repeated against the square "
        "root of the KL and against steps, one curve per dose."
    ),
    requirement="needs proxies with doses",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
