"""The Goodhart spectrum: which behaviour changes where along sqrt(KL), in one unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D

from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.drawing.style import DIVERGING, color_scale, sqrt_kl_axis

PATH = ["name", "proxy"]
MOST = 6
"""Panels; more cannot be read."""
ONSET: dict[str, Any] = {
    "marker": "D", "markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": "black",
    "clip_on": False,
}  # fmt: skip
PEAKS: dict[str, Any] = {"gold": "-", "oracle": (0, (3, 2))}
WEAK, LARGE = 0.2, 1.0
"""Cohen calls an h of 0.2 small and 0.8 large: the colors span at least the one and little more than the
other, so that a single landslide does not make all else look white."""


def draw(material: Material) -> Drawing | Reason:
    """A heat map per path: behaviours in rows, by onset; the KL across."""
    tables = material.tables
    if tables.behaviour_spectrum.empty:
        return "no completed run under path control was measured by a probe that names a behaviour"
    data = _numbers(material)
    order = rows_by_onset(data)
    labels = data.drop_duplicates("behaviour").set_index("behaviour")["label"]
    paths = list(data[PATH].drop_duplicates().itertuples(index=False, name=None))
    largest = float(np.nanmax(np.abs(data["h"]), initial=0.0))
    limit = min(max(WEAK, largest), LARGE)
    reach = float(data["sqrt_kl"].max())
    images: list[QuadMesh] = []

    def panel(path: tuple[str, str], cell: Cell) -> None:
        mine = data[(data["name"] == path[0]) & (data["proxy"] == path[1])]
        images.append(_map(cell.ax, mine, order, limit))
        cell.ax.set_title(path_title(*path, data), pad=4)
        sqrt_kl_axis(cell.ax, reach, top=cell.top)
        cell.ax.set_xlim(0, reach)
        cell.ax.set_yticks(np.arange(len(order)), [labels[name] for name in order], fontsize=7)
        cell.ax.set_ylim(len(order) - 0.5, -0.5)

    figure = grid_of_panels(paths, panel, across=2, row_height=0.8 + 0.17 * max(len(order), 3))
    # Long labels come out a little wider in print than on the screen they are laid out for.
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.06)
    bar = color_scale(figure, images[0], figure.axes, shrink=0.7, aspect=45, pad=0.03, fraction=0.3,
                      extend="both" if largest > LARGE else "neither")  # fmt: skip
    bar.set_label("change against the reference policy (Cohen's h)")
    figure.legend(handles=_signs(), loc="outside upper center", ncols=3)
    left = tables.behaviour_onsets.drop_duplicates(["method", "group", "proxy"]).shape[0] - len(paths)
    return Drawing(figure, data, _caption(material, left))


def _numbers(material: Material) -> pd.DataFrame:
    """The spectrum of the paths that are shown, with `onset` at the place where a behaviour sets in."""
    table, marks = material.tables.behaviour_spectrum, material.tables.behaviour_onsets
    table = table.assign(name=side_name(table))
    marks = marks.assign(name=side_name(marks)).set_index([*PATH, "behaviour"])
    table = table.merge(shown_paths(table), on=PATH, how="inner")
    at = pd.MultiIndex.from_frame(table[[*PATH, "behaviour"]])
    table["onset"] = table["kl"].to_numpy() == marks["onset_kl"].reindex(at).to_numpy()
    for score in PEAKS:
        table[f"{score}_peak_kl"] = marks[f"{score}_peak_kl"].reindex(at).to_numpy()
    return table


def side_name(table: pd.DataFrame) -> pd.Series:
    """The method of every row, with its group of runs where it has several."""
    several = table.groupby("method")["group"].transform("nunique") > 1
    return table["method"].where(~several, table["method"] + " (" + table["group"].astype(str) + ")")


def shown_paths(table: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST` paths, in the order of the table: one per proxy, of a dose series its largest dose."""
    paths = table.drop_duplicates(PATH).drop_duplicates("proxy")
    strongest = paths.groupby("dose_of")["dose"].transform("max")
    chosen = paths[paths["dose_of"].isna() | (paths["dose"] == strongest)]
    return chosen[PATH].head(MOST)


def path_title(name: str, proxy: str, shown: pd.DataFrame) -> str:
    """The proxy, with the way of optimising where those `shown` differ."""
    return f"{proxy} ({name})" if shown["name"].nunique() > 1 else proxy


def rows_by_onset(table: pd.DataFrame) -> list[str]:
    """Behaviours, those that set in earliest on average first; those that never do last."""
    onset = table[table["onset"]].groupby("behaviour")["sqrt_kl"].mean()
    reach = table["sqrt_kl"].max() + 1
    order = {name: onset.get(name, reach) for name in table["behaviour"].unique()}
    return sorted(order, key=lambda name: order[name])


def _signs() -> list[Line2D]:
    return [
        Line2D([], [], linestyle="none", label="onset", **ONSET),
        Line2D([], [], color="black", linewidth=1, linestyle=PEAKS["gold"], label="gold score highest"),
        Line2D([], [], color="black", linewidth=1, linestyle=PEAKS["oracle"], label="oracle score highest"),
    ]


def _map(ax: Axes, rows: pd.DataFrame, order: list[str], limit: float) -> QuadMesh:
    """One path as a heat map: a cell reaches half-way to its neighbours, a gap stays grey."""
    table = rows.pivot(index="behaviour", columns="place", values="h").reindex(order)
    d = rows.drop_duplicates("place").set_index("place")["sqrt_kl"].reindex(table.columns).to_numpy()
    table, d = table.iloc[:, np.argsort(d, kind="stable")], np.sort(d)
    edges = np.concatenate([[d[0]], (d[1:] + d[:-1]) / 2, [d[-1]]])
    shades = np.ma.masked_invalid(table.to_numpy(dtype=float))
    ax.set_facecolor("0.85")
    image = ax.pcolormesh(
        edges, np.arange(len(order) + 1) - 0.5, shades, cmap=DIVERGING, vmin=-limit, vmax=limit
    )
    for score, line in PEAKS.items():
        kl = float(rows[f"{score}_peak_kl"].iloc[0])
        if kl >= 0:
            ax.axvline(np.sqrt(kl), color="black", linewidth=1, linestyle=line)
    found = rows[rows["onset"]]
    at = [order.index(name) for name in found["behaviour"]]
    if at:  # An empty line that is not clipped upsets the layout.
        ax.plot(found["sqrt_kl"], at, linestyle="none", zorder=3, **ONSET)
    return image


def _caption(material: Material, left: int) -> str:
    more = f" {left} further paths are in the table of onsets." if left > 0 else ""
    return (
        "Every behaviour that the probes measure, as Cohen's h against the reference policy on the same "
        "prompts: red is more of it, blue less. Diamonds: onset, the first point at which a lower bound of "
        "the change lies above zero, the bounds holding together for all behaviours and points of a panel "
        "(95 %). Behaviours are ordered by their onset; those without a diamond never set in. Vertical "
        "lines: where the gold score (solid) and the oracle (dashed) are highest; none where that is at an "
        f"end.{more} {seeds_and_prompts(material)}"
    )


PLOT = Plot(
    title="The spectrum: which behaviour emerges when",
    description=(
        "Heat maps, one per proxy: behaviours in rows, the square root of the KL across, colored by the "
        "change of the behaviour's rate against the reference policy, with the onset of each marked."
    ),
    draw=draw,
)
