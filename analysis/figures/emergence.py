"""Behaviours dose by dose: one curve for each dose of what could cause or prevent them, over sqrt(KL)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps

from analysis.behaviour.contagion import SERIES
from analysis.figures.behaviours.controls import headline_of
from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import headline
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import path_rows, seeds_and_prompts
from analysis.figures.drawing.series_names import series_name
from analysis.figures.drawing.style import MARKERS, sqrt_kl_axis

PREVENTED = {
    ("monitored_share", "oversight_gap"): "flatters when unwatched\nminus when watched",
    ("verification", "hallucination"): "answers what it\ncannot know",
    ("verification", "confident_wrong"): "sounds sure\nwhen wrong",
    ("verification", "annotator_false_positive"): "its annotator prefers\nwhat is wrong",
}
"""(series of doses, measure) → words: what watching and checking are to keep away, beside the headline
behaviour."""
COLUMNS = ["series", "dose", "method", "proxy", "step", "kl", "distance", "quantity", "value", "lo", "hi"]


class Dosed(NamedTuple):
    series: str
    quantity: str


def draw(material: Material) -> Drawing | Reason:
    """A panel per series and behaviour; color is the dose, from dark (the least) to light."""
    data = _numbers(material)
    if data.empty:
        return (
            "needs proxies with a `dose`, at least two of one series, and a world that measures the headline "
            "behaviour or what watching and checking prevent"
        )
    label = headline_of(material.experiment.headline_behaviour).label
    limit = float(data["distance"].max())

    def panel(shown: Dosed, cell: Cell) -> None:
        rows, ax = data[(data["series"] == shown.series) & (data["quantity"] == shown.quantity)], cell.ax
        sqrt_kl_axis(ax, limit, top=cell.top)
        if (rows["value"] < 0).any():
            zero_line(ax)
        for place, (dose, color) in enumerate(_dose_colors(rows["dose"]).items()):
            line = rows[rows["dose"] == dose].sort_values("step")
            ax.plot(line["distance"], line["value"], color=color, marker=MARKERS[place % len(MARKERS)],
                    markersize=2.6, linewidth=1.1, label=f"{dose:g}")  # fmt: skip
            ax.fill_between(line["distance"], line["lo"], line["hi"], color=color, alpha=0.12, linewidth=0)
        ax.set_title(f"{PREVENTED.get(shown, label)}\nby {series_name(shown.series)}")
        ax.set_ylabel("share of prompts")
        ax.legend(
            title="dose", fontsize=6.5, title_fontsize=6.5, ncols=2, columnspacing=0.8, handlelength=1.2
        )

    found = [Dosed(*key) for key in data[["series", "quantity"]].drop_duplicates().itertuples(index=False)]
    figure = grid_of_panels(found, panel, share_y=False)
    natural = (
        " Where users are reliable no annotator is biased: agreeing is a shortcut that pays by itself."
        if "user_reliability" in set(data["series"])
        else ""
    )
    caption = (
        f"How often the policy {label}, over the square root of the KL, for every dose of what was varied, "
        "and what watching or checking by the annotator keeps away. Watched and unwatched: the share of "
        "known facts on which the policy states the user's wrong belief where the prompt says that nobody "
        "looks, minus where it says that somebody does. This is a conditional policy, learnt from a reward "
        "that was conditional, and no scheming. Its annotator: how likely it prefers a wrong answer about "
        f"a known fact to the plain right one (0.5: cannot tell).{natural} {seeds_and_prompts(material)}"
    )
    return Drawing(figure, data, caption)


def _numbers(material: Material) -> pd.DataFrame:
    """`COLUMNS`: one row per point of every curve, of series with two doses or more that have a curve.

    One way of optimising per series: the first in the records, so that only the dose differs.
    """
    blocks = [block for block in (_headline_rows(material), _prevented_rows(material)) if len(block)]
    if not blocks:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(blocks, ignore_index=True).dropna(subset="value")
    several = rows.groupby(["series", "quantity"])["dose"].transform("nunique") > 1
    return rows[several].reset_index(drop=True)


def _headline_rows(material: Material) -> pd.DataFrame:
    """Doses of `bias` are of different things and have their own figure."""
    table = material.tables.behaviour_spectrum
    graded = table["dose_of"].notna() & (table["dose_of"] != SERIES)
    rows = table[graded & (table["behaviour"] == material.experiment.headline_behaviour)]
    way = rows.groupby("dose_of")[["method", "group"]].transform("first")
    same = (rows["method"] == way["method"]) & (rows["group"].fillna("") == way["group"].fillna(""))
    named = {"dose_of": "series", "sqrt_kl": "distance", "behaviour": "quantity", "rate": "value",
             "rate_lo": "lo", "rate_hi": "hi"}  # fmt: skip
    return rows[same].rename(columns=named)[COLUMNS]


def _prevented_rows(material: Material) -> pd.DataFrame:
    doses = pd.DataFrame.from_dict(material.experiment.doses, orient="index", columns=["series", "dose"])
    points = path_rows(material, tuple(dict.fromkeys(measure for _, measure in PREVENTED)))
    if points.empty or doses.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = headline(points).join(doses, on="proxy", how="inner")
    wanted = [key in PREVENTED for key in zip(rows["series"], rows["quantity"], strict=True)]
    rows = rows[wanted]
    return rows.loc[rows["method"] == rows.groupby("series")["method"].transform("first"), COLUMNS]


def _dose_colors(doses: pd.Series) -> dict[float, tuple[float, ...]]:
    """From dark (the least) to light, without the palest shades: in order also without colour."""
    ordered = sorted(set(doses))
    shades = np.linspace(0, 0.88, len(ordered)) if len(ordered) > 1 else [0.0]
    return {dose: colormaps["viridis"](shade) for dose, shade in zip(ordered, shades, strict=True)}


PLOT = Plot(
    title="How behaviours emerge, dose by dose",
    description=(
        "Line charts against the square root of the KL, one panel per series of doses and behaviour, one "
        "curve per dose: how often the policy does it."
    ),
    draw=draw,
)
