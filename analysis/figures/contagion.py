"""One bias in the annotator, and every behaviour that it changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import DIVERGING

LEAST = 0.2
"""The colors span at least this change of a rate."""


def draw(material: Material) -> Drawing | Reason:
    """A matrix of numbers per way of optimising."""
    data = material.tables.behaviour_contagion
    if data.empty:
        return (
            "needs proxies with a dose of `bias`, one of them 0 (the clean annotator), and paths against "
            "each that reach a common KL"
        )
    limit = max(LEAST, float(data["difference"].abs().max()))

    def panel(name: str, cell: Cell) -> None:
        rows = data[data["name"] == name]
        _matrix(cell.ax, rows, limit)
        low, high = rows["kl"].min(), rows["kl"].max()
        cell.ax.set_title(
            f"{name}, at KL {low:g} nats" if low == high else f"{name}, at KL {low:g} to {high:g} nats"
        )

    figure = grid_of_panels(
        list(dict.fromkeys(data["name"])), panel, across=1, share_x=False, share_y=False,
        row_height=1.5 + 0.24 * data["proxy"].nunique(),
    )  # fmt: skip
    clean = " and ".join(dict.fromkeys(data["clean"]))
    seeds = sorted({*data["runs"], *data["runs_clean"]})
    caption = (
        "Every row is a proxy whose annotator has exactly one bias, every column a behaviour: its change "
        f"under that proxy minus its change under the clean one ({clean}), as a difference of rates, where "
        "both policies have spent the same KL. Colored: the interval excludes zero with all cells of the "
        "panel taken together (95 %, paired by prompt); grey: it does not. Off the row's own bias, color "
        f"is contagion. {' or '.join(map(str, seeds))} run{'' if seeds == [1] else 's'} (seeds) per proxy."
    )
    return Drawing(figure, data, caption)


def _matrix(ax: Axes, rows: pd.DataFrame, limit: float) -> None:
    proxies, labels = list(dict.fromkeys(rows["proxy"])), rows.drop_duplicates("behaviour")
    grid = rows.pivot(index="proxy", columns="behaviour", values="difference")
    grid = grid.reindex(index=proxies, columns=labels["behaviour"])
    sure = rows.pivot(index="proxy", columns="behaviour", values="beyond_chance").reindex_like(grid).eq(True)
    ax.set_facecolor("0.88")
    ax.pcolormesh(
        np.ma.masked_where(~sure.to_numpy(), grid.to_numpy(dtype=float)),
        cmap=DIVERGING, vmin=-limit, vmax=limit, edgecolors="white", linewidth=1,
    )  # fmt: skip
    for (y, x), value in np.ndenumerate(grid.to_numpy(dtype=float)):
        if np.isfinite(value):
            certain = bool(sure.iloc[y, x])
            dark = certain and abs(value) > 0.6 * limit
            shown = f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
            ax.text(x + 0.5, y + 0.5, shown, ha="center", va="center", fontsize=6.5,
                    color="white" if dark else "black" if certain else "0.45")  # fmt: skip
    ax.set_xticks(np.arange(len(labels)) + 0.5, labels["label"], rotation=35, ha="right", fontsize=7,
                  rotation_mode="anchor")  # fmt: skip
    ax.set_yticks(np.arange(len(proxies)) + 0.5, proxies, fontsize=7)
    ax.set_ylabel("annotator's only bias")
    ax.set_xlim(0, len(labels))
    ax.set_ylim(len(proxies), 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


PLOT = Plot(
    title="Contagion: one bias, all behaviours",
    description=(
        "A matrix of numbers, biased annotators in rows and behaviours in columns: the change of the "
        "behaviour beyond that under a clean annotator at the same KL, colored where it is beyond chance."
    ),
    draw=draw,
)
