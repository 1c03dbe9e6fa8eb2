"""Forecast and outcome: what was foretold of each gold curve, from where, and what was then measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.small_multiples import MANY, TITLE, Cell, case_title, small_multiples
from analysis.figures.drawing.style import SD, Look, canvas, shared_legend, sqrt_kl_axis
from analysis.laws.forecast import BASE, EARLY
from analysis.records.way import POOL

SOURCES = {
    EARLY: Look("forecast from early points", "#0072B2", (0, (4, 1.5)), ""),
    BASE: Look("forecast from base samples", "#009E73", (0, (5, 1, 1, 1)), ""),
}


def numbers(material: Material) -> pd.DataFrame:
    """The table `forecast_bands` of the curves that are drawn."""
    return material.tables.forecast_bands


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One panel per curve that was forecast, two in a row; or three and on the same scales where they are
    many."""
    data = numbers(material)
    names = titles(material)
    many = len(names) > MANY
    limits = data.groupby("forecast")["d"].max()
    if many:
        fig, cells = small_multiples(len(names))
    else:
        fig, axes = canvas((len(names) + 1) // 2, min(2, len(names)))
        cells = [Cell([ax], left=True, top=True, bottom=True) for ax in axes.flat[: len(names)]]
        for ax in axes.flat[len(names) :]:
            ax.remove()
    for cell, (name, title) in zip(cells, names.items(), strict=True):
        (ax,) = cell.axes
        sqrt_kl_axis(ax, float(limits.max() if many else limits[name]), top=False, bottom=cell.bottom)
        _panel(ax, data[data["forecast"] == name])
        ax.set_title(title, pad=3, fontsize=TITLE)
        if cell.left:
            ax.set_ylabel(f"gold ({SD})")
    shared_legend(fig, np.array([cell.axes for cell in cells]), columns=2)
    return fig, data


def titles(material: Material) -> dict[str, str]:
    """What to call each forecast that is drawn: method and proxy, and seeds where there are several."""
    table = material.tables.forecasts.drop_duplicates("forecast").set_index("forecast")
    runs = material.tables.runs.set_index("run_id")
    several = {seed: runs[seed].nunique() > 1 for seed in ("proxy_seed", "seed")}
    found = {}
    for name in numbers(material)["forecast"].drop_duplicates():
        method, proxy = table.loc[name, ["method", "proxy"]]
        if name not in runs.index:
            found[name] = case_title(str(POOL), proxy)
            continue
        seeds = [
            f", {seed.replace('_', ' ')} {runs.loc[name, seed]}" for seed, many in several.items() if many
        ]
        found[name] = case_title(method, proxy, "".join(seeds))
    return found


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    zero_line(ax)
    for source, look in SOURCES.items():
        mine = rows[rows["source"] == source]
        if mine.empty:
            continue
        told = mine[mine["withheld"].astype(bool)]
        ax.plot(told["d"], told["value"], color=look.color, linestyle=look.line, label=look.label)
        ax.fill_between(told["d"], told["lo"], told["hi"], color=look.color, alpha=0.16, linewidth=0)
    early = rows[rows["source"] == EARLY]
    seen = early[~early["withheld"].astype(bool)]
    if len(seen):
        after = early.loc[early["withheld"].astype(bool), "d"].min()
        ax.axvline((seen["d"].max() + after) / 2, color="0.5", linewidth=0.7, linestyle=(0, (2, 2)))
    measured = rows.drop_duplicates("d").sort_values("d")
    fitted = measured["d"].isin(seen["d"])
    for mine, face, label in (
        (measured[fitted], "0.3", "measured, seen before the cut"),
        (measured[~fitted], "white", "measured, not seen by the forecast from early points"),
    ):
        ax.plot(mine["d"], mine["measured"], "o", color="0.3", markerfacecolor=face, label=label)


def caption(material: Material) -> str:
    table = material.tables.forecasts
    made = table[table["refused"].isna()]
    parts = []
    for source, rows in made.groupby("source", sort=False):
        points = rows["withheld_points"]
        held = (rows["coverage"] * points).sum() / points.sum()
        gain = 1 - (rows["crps"] * points).sum() / (rows["crps_trivial"] * points).sum()
        parts.append(
            f"From {source}: {held:.0%} of {int(points.sum())} withheld points lie in the 95 % band; the "
            f"error (CRPS) is {abs(gain):.0%} {'smaller' if gain >= 0 else 'larger'} than if gold stayed "
            "where it was last seen."
        )
    return (
        "Lines and bands: median and 95 % of what was foretold. From early points: up to 60 % of the √KL "
        "reached (dashed line), by five laws mixed as they fit there. From base samples: the frontier of the "
        f"proxy, without any training, as far as the pool reaches. {' '.join(parts)} The points of one curve "
        "share their prompts, so they are in or out together. The scales of the panels differ."
    )


def lacks(material: Material) -> str | None:
    return None if len(material.tables.forecast_bands) else "no gold curve has enough points to be forecast"


PLOT = Plot(
    title="What could have been foretold",
    description="Forecasts of each gold curve over √KL with their 95 % bands, and the points measured later.",
    requirement="needs a path run or a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
