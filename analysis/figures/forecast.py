"""Forecast and outcome: what was foretold of each gold curve, from where, and what was then measured."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.lines import mark_place, zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import (
    BLUE,
    DASH_DOTTED,
    DASHED,
    GREEN,
    SD,
    Look,
    sqrt_kl_axis,
)
from analysis.figures.drawing.way_looks import way_looks
from analysis.laws.forecast import BASE, EARLY
from analysis.records.way import POOL

SOURCES = {
    EARLY: Look("forecast from early points", BLUE, DASHED, ""),
    BASE: Look("forecast from base samples", GREEN, DASH_DOTTED, ""),
}


def draw(material: Material) -> Drawing | Reason:
    """One panel per curve that was forecast, all on the same scales."""
    data = material.tables.forecast_bands
    if data.empty:
        return "no gold curve has enough points to be forecast"
    titles, limit = _titles(material), float(data["d"].max())

    def panel(name: str, cell: Cell) -> None:
        sqrt_kl_axis(cell.ax, limit, top=False)
        _forecasts(cell.ax, data[data["forecast"] == name])
        cell.ax.set_title(titles[name])
        cell.ax.set_ylabel(f"gold ({SD})")

    figure = grid_of_panels(list(titles), panel, legend_columns=2)
    return Drawing(figure, data, _caption(material))


def _titles(material: Material) -> dict[str, str]:
    """What to call each forecast that is drawn: method and proxy, and seeds where there are several."""
    table = material.tables.forecasts.drop_duplicates("forecast").set_index("forecast")
    runs, looks = material.tables.runs.set_index("run_id"), way_looks(material.experiment.ways)
    several = [seed for seed in ("proxy_seed", "seed") if runs[seed].nunique() > 1]
    found = {}
    for name in material.tables.forecast_bands["forecast"].drop_duplicates():
        method, proxy = table.loc[name, ["method", "proxy"]]
        seeds = ""
        if name in runs.index:
            seeds = "".join(f", {seed.replace('_', ' ')} {runs.loc[name, seed]}" for seed in several)
        else:
            method = str(POOL)
        found[name] = f"{looks[method].label}\n{proxy} proxy{seeds}"
    return found


def _forecasts(ax: Axes, rows: pd.DataFrame) -> None:
    zero_line(ax)
    for source, look in SOURCES.items():
        told = rows[(rows["source"] == source) & rows["withheld"].astype(bool)]
        if len(told):
            ax.plot(told["d"], told["value"], color=look.color, linestyle=look.line, label=look.label)
            ax.fill_between(told["d"], told["lo"], told["hi"], color=look.color, alpha=0.16, linewidth=0)
    early = rows[rows["source"] == EARLY]
    seen = early[~early["withheld"].astype(bool)]
    if len(seen):
        after = early.loc[early["withheld"].astype(bool), "d"].min()
        mark_place(ax, (seen["d"].max() + after) / 2)
    measured = rows.drop_duplicates("d").sort_values("d")
    fitted = measured["d"].isin(seen["d"])
    for mine, face, label in (
        (measured[fitted], "0.3", "measured, seen before the cut"),
        (measured[~fitted], "white", "measured, not seen by the forecast from early points"),
    ):
        ax.plot(mine["d"], mine["measured"], "o", color="0.3", markerfacecolor=face, label=label)


def _caption(material: Material) -> str:
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
        "share their prompts, so they are in or out together."
    )


PLOT = Plot(
    title="What could have been foretold",
    description="Forecasts of each gold curve over √KL with their 95 % bands, and the points measured later.",
    draw=draw,
)
