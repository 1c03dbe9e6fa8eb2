"""Oversight and verification: behaviours over what the annotator sees or checks, and over sqrt(KL)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from analysis.behaviour.tables import read_doses
from analysis.figures.drawing.dose_rows import series_name
from analysis.figures.drawing.path_rows import headline
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import path_rows, seeds_and_prompts
from analysis.figures.drawing.style import canvas, colour_scale, sqrt_kl_axis


class Map(NamedTuple):
    series: str
    quantity: str
    title: str


MAPS = (
    Map("monitored_share", "oversight_gap", "flatters when unwatched\nminus when watched"),
    Map("verification", "hallucination", "answers what it\ncannot know"),
    Map("verification", "confident_wrong", "sounds sure\nwhen wrong"),
    Map("verification", "annotator_false_positive", "its raters prefer\nwhat is wrong"),
)


def numbers(material: Material) -> pd.DataFrame:
    """Rows of every map that these records allow: two doses or more, and the quantity measured."""
    doses = read_doses(material.experiment)
    rows = path_rows(material, tuple(each.quantity for each in MAPS))
    if rows.empty:
        return rows
    rows = headline(rows)
    rows = rows.assign(
        series=rows["proxy"].map({name: of for name, (of, _) in doses.items()}),
        dose=rows["proxy"].map({name: value for name, (_, value) in doses.items()}),
    )
    wanted = pd.MultiIndex.from_frame(rows[["series", "quantity"]]).isin(
        [(m.series, m.quantity) for m in MAPS]
    )
    rows = rows[wanted & rows["value"].notna()]
    # One way of optimising, so that only the dose differs.
    rows = rows[rows["method"] == rows.groupby("series")["method"].transform("first")]
    several = rows.groupby(["series", "quantity"])["dose"].transform("nunique") > 1
    return rows[several].reset_index(drop=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    data = numbers(material)
    shown = [m for m in MAPS if ((data["series"] == m.series) & (data["quantity"] == m.quantity)).any()]
    columns = 2 if len(shown) > 3 else len(shown)
    fig, axes = canvas(-(-len(shown) // columns), columns, row_height=2.3)
    for ax, each in zip(axes.flat, shown, strict=True):
        mine = data[(data["series"] == each.series) & (data["quantity"] == each.quantity)]
        image = _map(ax, mine, signed=each.quantity == "oversight_gap")
        ax.set_title(each.title, fontsize=8)
        ax.set_ylabel(series_name(each.series).replace("\n", " "))
        colour_scale(fig, image, ax, aspect=18, pad=0.04).ax.tick_params(labelsize=7)
    return fig, data


def _map(ax: Axes, rows: pd.DataFrame, *, signed: bool) -> QuadMesh:
    """A band per dose, each as wide as its path went; cells reach half-way to their neighbours."""
    doses = sorted(rows["dose"].unique())
    largest = max(0.05, float(rows["value"].abs().max()))
    shades: dict[str, Any] = {"cmap": "PuOr_r", "vmin": -largest, "vmax": largest} if signed else {
        "cmap": "viridis", "vmin": 0.0, "vmax": max(0.1, float(rows["value"].max()))
    }  # fmt: skip
    ax.set_facecolor("0.85")
    for place, dose in enumerate(doses):
        band = rows[rows["dose"] == dose].sort_values("distance")
        d = band["distance"].to_numpy()
        edges = np.concatenate([[d[0]], (d[1:] + d[:-1]) / 2, [d[-1]]])
        image = ax.pcolormesh(edges, [place - 0.5, place + 0.5], band["value"].to_numpy()[None], **shades)
    ax.set_yticks(range(len(doses)), [f"{dose:g}" for dose in doses])
    last = float(rows["distance"].max())
    sqrt_kl_axis(ax, last)
    ax.set_xlim(0, last)
    return image


def lacks(material: Material) -> str | None:
    if numbers(material).empty:
        return (
            "needs proxies with two doses or more of `monitored_share` or of `verification`, and prompts "
            "on which the gap, guessing, confidence or the approval of its raters can be measured"
        )
    return None


def caption(material: Material) -> str:
    behind = seeds_and_prompts(material).replace(
        "; bands are 95 % intervals", "; intervals, in the .csv, are"
    )
    return (
        "Rates over the square root of the KL (across) and what was varied in the annotator (upwards, one "
        "band per dose; grey: no path went there). Watched and unwatched: the share of known facts on "
        "which the policy states the user's wrong belief where the prompt says that nobody looks, minus "
        "where it says that somebody does. This is a conditional policy, learnt from a reward that was "
        "conditional, and no scheming. Its raters: how likely the annotator who labelled the pairs prefers a "
        "wrong answer about a known fact to the plain right one (0.5: cannot tell); at 0, π_ref's answers. "
        f"{behind}"
    )


PLOT = Plot(
    title="How much watching and checking keeps a behaviour away",
    description=(
        "Heat maps over the square root of the KL and the share of prompts monitored, or the probability "
        "that the annotator checks: the watched-unwatched gap, guessing, confidence when wrong, and whether "
        "the annotator is convinced by what is wrong."
    ),
    requirement="needs proxies with doses",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
