"""What the proxy's reward was earned with, along sqrt(KL)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.behaviour.ledger import REMAINDER
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.drawing.style import BLUE, GREEN, ORANGE, PINK, RED, SD, SKY, sqrt_kl_axis
from analysis.figures.spectrum import PATH, path_title, shown_paths, side_name

SOURCES = {
    "truth": (GREEN, ""),
    "agreement": (RED, "///"),
    "confidence": (BLUE, ""),
    "praise": (PINK, "..."),
    "evidence": (ORANGE, ""),
    "length": (SKY, "\\\\\\"),
    REMAINDER: ("#BBBBBB", "xx"),
}
"""Color and hatch, a second sign beside it."""


def draw(material: Material) -> Drawing | Reason:
    """A panel per path: a stack of signed bars at every point."""
    table = material.tables.behaviour_ledger
    if table.empty:
        return "no completed path run was both scored and parsed into what answers state and how they say it"
    table = table.assign(name=side_name(table))
    spectrum = material.tables.behaviour_spectrum
    doses = spectrum.drop_duplicates("proxy").set_index("proxy")[["dose_of", "dose"]]
    shown = shown_paths(table.join(doses, on="proxy"))
    data = table.merge(shown, on=PATH)
    limit = float(data["sqrt_kl"].max())

    def panel(path: tuple[str, str], cell: Cell) -> None:
        mine = data[(data["name"] == path[0]) & (data["proxy"] == path[1])]
        _bars(cell.ax, mine)
        sqrt_kl_axis(cell.ax, limit, top=cell.top)
        cell.ax.set_title(path_title(*path, data))
        cell.ax.set_ylabel(f"gain of proxy reward\n({SD})")

    figure = grid_of_panels(list(shown.itertuples(index=False, name=None)), panel, row_height=1.9)
    return Drawing(figure, data, _caption(material))


def _bars(ax: Axes, rows: pd.DataFrame) -> None:
    """A stack per point: what adds to the reward upwards from 0, what costs it downwards."""
    table = rows.pivot(index="place", columns="source", values="share").fillna(0.0)
    d = rows.drop_duplicates("place").set_index("place")["sqrt_kl"].reindex(table.index).to_numpy()
    order = np.argsort(d, kind="stable")
    d, table = d[order], table.iloc[order]
    width = 0.8 * np.minimum(np.diff(d, prepend=-np.inf), np.diff(d, append=np.inf))
    width = np.clip(width, 0.004 * d.max(), 0.12 * d.max())
    up, down = np.zeros(len(d)), np.zeros(len(d))
    for source, (color, hatch) in SOURCES.items():
        if source not in table:
            continue
        value = table[source].to_numpy(dtype=float)
        bottom = np.where(value >= 0, up, down)
        ax.bar(d, value, width, bottom, color=color, hatch=hatch, edgecolor="white", linewidth=0.2,
               label=source)  # fmt: skip
        up, down = up + np.maximum(value, 0), down + np.minimum(value, 0)
    ax.plot(d, table.sum(axis=1), color="black", linewidth=0.8, marker="o", markersize=2, label="whole gain")
    ax.axhline(0, color="0.3", linewidth=0.6)


def _caption(material: Material) -> str:
    gains = material.tables.behaviour_gains
    last = gains.dropna(subset="gain").groupby(["method", "proxy"], sort=False).tail(1)
    left = (last["remainder"] / last["gain"]).where(last["gain"].abs() > 0)
    said = f"{100 * left.min():.0f} to {100 * left.max():.0f} %" if left.notna().any() else "an unknown part"
    return (
        "The gain of the proxy's reward over the reference policy (dots), shared out among what the parser "
        "sees in the completions: Shapley values of a model of this reward with all interactions of two "
        "features, fitted to every point of the run, prompt by prompt against the reference policy's own "
        f"answer. Bars below zero cost reward. Grey is what the model leaves unexplained: {said} of the "
        f"gain at the last points. {seeds_and_prompts(material, drawn='in the .csv are')}"
    )


PLOT = Plot(
    title="What the reward was earned with",
    description=(
        "Stacked signed bars, one panel per proxy, against the square root of the KL: the share of the "
        "proxy's gain that came from truth, agreement, confidence, praise, evidence and length, and what "
        "is unexplained."
    ),
    draw=draw,
)
