"""What a unit of proxy score is worth: gold against the score that was optimised, KL left out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import by_pairs, headline, proxy_title
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.drawing.style import SD, curve
from analysis.figures.drawing.way_looks import FRONTIER, way_looks
from analysis.figures.methods import method_rows

KEY = ["method", "proxy", "run_id"]


def draw(material: Material) -> Drawing | Reason:
    """One panel per proxy, the least data first; one line per method, from the reference policy on."""
    data = _numbers(material)
    if data.empty:
        return "no curve has both a gold and a proxy score"
    looks, proxies = way_looks(material.experiment.ways), by_pairs(data)

    def panel(proxy: str, cell: Cell) -> None:
        rows, ax = data[data["proxy"] == proxy], cell.ax
        zero_line(ax)
        end = float(np.nanmax(rows["proxy_score"]))
        ax.plot(
            [0, end], [0, end], color="0.6", linewidth=0.8, zorder=0, label="gold gains what the proxy gains"
        )
        for method, line in rows.groupby("method", sort=False):
            curve(ax, line["proxy_score"], line["value"], looks[str(method)], linewidth=1.1)
        ax.set_title(proxy_title(proxy, proxies[proxy], len(proxies)))
        ax.set_xlabel(f"proxy score ({SD})")
        ax.set_ylabel(f"gold score ({SD})")

    figure = grid_of_panels(list(proxies), panel, row_height=2.4, legend_columns=3)
    caption = (
        "Gold against proxy score along each method's path, both as changes from the reference policy in "
        "their own standard deviations. Where a line bends down, a higher proxy score buys less of gold. "
        "Methods whose lines coincide differ only in how much KL they pay for the same trade. Intervals "
        f"are in the other figures. {seeds_and_prompts(material, pool=True)}"
    )
    return Drawing(figure, data, caption)


def _numbers(material: Material) -> pd.DataFrame:
    """The gold rows of every headline curve with ``proxy_score`` beside them, in the order of the path."""
    rows = method_rows(material, ("gold", "proxy_score"))
    rows = rows[rows["method"] != FRONTIER]
    bold = headline(rows) if len(rows) else rows
    place = bold.groupby([*KEY, "quantity"]).cumcount()
    gold, proxy = (bold.assign(place=place)[bold["quantity"] == name] for name in ("gold", "proxy_score"))
    score = proxy[[*KEY, "place", "value"]].rename(columns={"value": "proxy_score"})
    both = gold.merge(score, on=[*KEY, "place"], validate="one_to_one").drop(columns="place")
    return both.dropna(subset=["value", "proxy_score"]).reset_index(drop=True)


PLOT = Plot(
    title="What a unit of proxy score buys",
    description="Gold against proxy score, one panel per proxy, one line per method and one for best of n.",
    draw=draw,
)
