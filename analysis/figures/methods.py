"""Every way of spending KL on one panel: gold, and beside it the oracle, over √KL."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import (
    COLUMNS,
    by_pairs,
    headline,
    long_rows,
    path_points,
    proxy_title,
    with_seed_means,
)
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import complete_runs, seeds_and_prompts
from analysis.figures.drawing.style import SD, curve, sqrt_kl_axis
from analysis.figures.drawing.way_looks import FRONTIER, way_looks
from analysis.records.way import POOL, grouped

TRUTHS = ("gold", "oracle")
CROWDED = 3
"""With more lines than this, bands would only hide each other; intervals of differences are in `equal_kl`."""


def draw(material: Material) -> Drawing | Reason:
    """One case per proxy, a panel per truth, one line per method: the mean over its seeds, or its seed."""
    data = method_rows(material, TRUTHS)
    if data.empty:
        return "no run under path control and no best-of-n pool left scored points"
    if data["method"].nunique() < 2:
        return "there is one method only, and nothing to put beside it"
    truths = [name for name in TRUTHS if name in set(data["quantity"])]
    looks, proxies = way_looks(material.experiment.ways), by_pairs(data)
    limit = float(data["distance"].max())

    def panels(proxy: str, cell: Cell) -> None:
        for ax, truth in zip(cell.axes, truths, strict=True):
            zero_line(ax)
            sqrt_kl_axis(ax, limit, top=cell.top)
            mine = data[(data["proxy"] == proxy) & (data["quantity"] == truth)]
            crowded = mine["method"].nunique() > CROWDED
            for method, line in mine.groupby("method", sort=False):
                bold = headline(line)
                interval = None if crowded or bold["lo"].isna().all() else (bold["lo"], bold["hi"])
                curve(ax, bold["distance"], bold["value"], looks[str(method)], interval, linewidth=1.1)
            ax.set_title(f"{proxy_title(proxy, proxies[proxy], len(proxies))}\n{truth}")
            ax.set_ylabel(f"{truth} score ({SD})")

    figure = grid_of_panels(list(proxies), panels, panels=len(truths), row_height=2.3)
    caption = (
        "Change of score from the reference policy, in its standard deviations, over how far each method "
        "has moved the policy. All are measured by the same meter on the same prompts; best of n and the "
        "frontier (the reference policy reweighted for the proxy, without training) come from the pool and "
        "end where it does not carry further. Where a panel holds more than three lines, bands are left "
        "out: the figure and the table of differences at equal KL have the intervals. "
        f"{seeds_and_prompts(material, pool=True)}"
    )
    return Drawing(figure, data, caption)


def method_rows(material: Material, quantities: tuple[str, ...]) -> pd.DataFrame:
    """Long rows (`COLUMNS`) of path runs with seed means, the reliable part of the best-of-n pool and of the
    frontier; ``method`` names the side as comparisons do."""
    tables = material.tables
    points = path_points(tables.points)
    keys = list(zip(points["method"].map(material.experiment.ways), points["group"], strict=True))
    ways = grouped(keys)
    named = [str(ways[key]) for key in keys]
    blocks = [with_seed_means(long_rows(points.assign(method=named), quantities), complete_runs(material))]
    for name, table in ((str(POOL), tables.best_of_n), (FRONTIER, tables.frontier)):
        reliable = table[table["reliable"].astype(bool)] if "reliable" in table and len(table) else table
        blocks.append(long_rows(reliable.assign(method=name, run_id=name, step=np.nan), quantities))
    full = [block for block in blocks if len(block)]
    if not full:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(full, ignore_index=True)
    measured = rows["value"].notna().groupby([rows["method"], rows["proxy"], rows["quantity"]])
    return rows[measured.transform("any")].reset_index(drop=True)


PLOT = Plot(
    title="All methods on one meter",
    description=(
        "Line charts of gold and oracle score against the square root of KL: one line per method, best of n, "
        "and the optimiser-free frontier."
    ),
    draw=draw,
)
