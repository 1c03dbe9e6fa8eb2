"""Changes of behaviour that base samples foretold against those that training brought."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import COLORS, MARKERS, Look

MOST = 3
"""Panels: ways of optimising."""


def draw(material: Material) -> Drawing | Reason:
    """A panel per way of optimising, a mark per proxy and behaviour at the largest KL that both reach."""
    table = material.tables.behaviour_predictions
    if table.empty:
        return (
            "needs a scored and parsed best-of-n pool that probes can read, and a path run as far as KL 0.25"
        )
    data = table[table["furthest"]].reset_index(drop=True)
    names = list(dict.fromkeys(data["name"]))[:MOST]
    data = data[data["name"].isin(names)].reset_index(drop=True)
    labels = table.drop_duplicates("behaviour").set_index("behaviour")["label"]
    looks = {
        str(name): Look(label, COLORS[place % len(COLORS)], "none", MARKERS[place % len(MARKERS)])
        for place, (name, label) in enumerate(labels.items())
    }
    values = data[["predicted_lo", "predicted_hi", "measured_lo", "measured_hi"]].to_numpy()
    limit = 1.05 * max(0.05, float(np.nanmax(np.abs(values))))

    def panel(name: str, cell: Cell) -> None:
        _panel(cell.ax, data[data["name"] == name], looks, limit)
        if len(names) > 1:
            cell.ax.set_title(name)
        cell.ax.set_xlabel("predicted change of the rate")
        cell.ax.set_ylabel("measured change of the rate")

    figure = grid_of_panels(names, panel, across=len(names), row_height=3.1 if len(names) == 1 else 2.4,
                            legend_columns=3)  # fmt: skip
    return Drawing(figure, data, _caption(material))


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look], limit: float) -> None:
    for corner in ((0, limit), (-limit, 0)):
        ax.fill_between(corner, *corner, color="0.93", linewidth=0, zorder=0)
    ax.plot([-limit, limit], [-limit, limit], color="0.5", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    zero_line(ax)
    ax.axvline(0, color="0.75", linewidth=0.6, zorder=0)
    for behaviour, look in looks.items():
        mine = rows[rows["behaviour"] == behaviour]
        if mine.empty:
            continue
        x, y = mine["predicted"], mine["measured"]
        ax.errorbar(
            x, y, linestyle="none", color=look.color, marker=look.marker, markersize=4, elinewidth=0.5,
            alpha=0.9,
            xerr=[(x - mine["predicted_lo"]).clip(lower=0), (mine["predicted_hi"] - x).clip(lower=0)],
            yerr=[(y - mine["measured_lo"]).clip(lower=0), (mine["measured_hi"] - y).clip(lower=0)],
            label=look.label,
        )  # fmt: skip
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)


def _caption(material: Material) -> str:
    tables = material.tables
    scores = tables.behaviour_calibration[tables.behaviour_calibration["kl"].isna()]
    said = []
    for row in scores.to_dict("records")[:MOST]:
        hits = (
            f"the sign rule is right in {row['sign_hits']} of the {row['changed']} changes whose interval "
            "excludes zero"
            if row["changed"]
            else "no change's interval excludes zero"
        )
        said.append(
            f"{row['name']}: {hits}; measured over predicted change {row['slope']:.2f} "
            f"[{row['slope_lo']:.2f}, {row['slope_hi']:.2f}], {row['pairs']} changes under {row['proxies']} "
            f"{'proxy' if row['proxies'] == 1 else 'proxies'}."
        )
    furthest = tables.behaviour_predictions.loc[tables.behaviour_predictions["furthest"], "kl"]
    return (
        "What the best policy for a proxy would do, computed from samples of the reference policy alone, "
        "against what the trained policy does at the same KL; a mark per proxy and behaviour, at the "
        f"largest KL on a grid of doublings that both reach ({furthest.min():g} to {furthest.max():g} "
        "nats). Dashed: prediction and measurement agree. Shaded: both have the same sign. Bars: 95 % "
        "intervals over prompts. The sign rule reads only the covariance of behaviour and reward. "
        f"{' '.join(said)}"
    )


PLOT = Plot(
    title="Behaviours foretold before any training",
    description=(
        "Scatter of the measured change of each behaviour's rate against the change predicted from base "
        "samples, one color and shape per behaviour, with the diagonal and the quadrants of equal sign."
    ),
    draw=draw,
)
