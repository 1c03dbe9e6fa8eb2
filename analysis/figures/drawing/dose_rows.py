"""What figures over doses share: the rows of each series, and a colour for every dose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps

from analysis.behaviour.contagion import SERIES
from analysis.figures.drawing.plot import Material

NAMES = {
    "user_reliability": "user reliability\n(natural route)",
    "monitored_share": "share of prompts\nmonitored",
    "verification": "share of pairs\nchecked",
}
"""What to call a series whose name does not say it."""


def series_name(series: str) -> str:
    return NAMES.get(series, series.replace("_", " "))


def dosed(material: Material, behaviours: Sequence[str], least: int = 2) -> pd.DataFrame:
    """The spectrum's rows of these behaviours, for proxies of a series with `least` doses or more.

    Doses of `bias` are of different things and have their own figure. One way of optimising per series: the
    first in the records, so that only the dose differs.
    """
    table = material.tables.behaviour.spectrum
    graded = table["dose_of"].notna() & (table["dose_of"] != SERIES)
    rows = table[graded & table["behaviour"].isin(list(behaviours)) & table["rate"].notna()]
    way = rows.groupby("dose_of")[["method", "group"]].transform("first")
    same = (rows["method"] == way["method"]) & (rows["group"].fillna("") == way["group"].fillna(""))
    rows = rows[same]
    return rows[rows.groupby("dose_of")["dose"].transform("nunique") >= least].reset_index(drop=True)


def dose_colours(doses: Sequence[float]) -> dict[float, tuple[float, ...]]:
    """From dark (the least) to light, without the palest shades: in order also without colour."""
    ordered = sorted(set(doses))
    shades = np.linspace(0, 0.88, len(ordered)) if len(ordered) > 1 else [0.0]
    return {dose: colormaps["viridis"](shade) for dose, shade in zip(ordered, shades, strict=True)}


def seeds(rows: pd.DataFrame) -> str:
    """ "One run (seed)" or "1 to 3 runs (seeds)", for a caption."""
    least, most = int(rows["runs"].min()), int(rows["runs"].max())
    if most == 1:
        return (
            "One run (seed) per dose; bands are 95 % intervals over prompts and say nothing about other seeds"
        )
    counts = str(most) if least == most else f"{least} to {most}"
    return f"{counts} runs (seeds) per dose; bands are 95 % intervals over prompts and seeds"
