"""Every way of spending KL on one panel: gold, and beside it the oracle, over √KL."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.method_looks import FRONTIER, method_looks
from analysis.figures.drawing.path_rows import COLUMNS, headline, long_rows, path_points, with_seed_means
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import complete_runs, seeds_and_prompts
from analysis.figures.drawing.small_multiples import MANY, TITLE, small_multiples
from analysis.figures.drawing.style import SD, Look, canvas, curve, shared_legend, sqrt_kl_axis
from analysis.records.way import POOL, grouped

TRUTHS = ("gold", "oracle")
CROWDED = 3
"""With more lines than this, bands would only hide each other; intervals of differences are in `equal_kl`."""


def method_rows(material: Material, quantities: tuple[str, ...]) -> pd.DataFrame:
    """Long rows (`paths.COLUMNS`) of path runs with seed means, the reliable part of the best-of-n pool and
    of the frontier; ``method`` names the side as comparisons do."""
    tables = material.tables
    points = path_points(tables.points)
    keys = list(zip(points["method"].map(material.experiment.ways), points["group"], strict=True))
    ways = grouped(keys)
    named = [str(ways[key]) for key in keys]
    blocks = [with_seed_means(long_rows(points.assign(method=named), quantities), complete_runs(material))]
    for name, table in ((str(POOL), tables.best_of_n), (FRONTIER, tables.frontier)):
        reliable = table[table["reliable"].astype(bool)] if len(table) else table
        blocks.append(long_rows(reliable.assign(method=name, run_id=name, step=np.nan), quantities))
    full = [block for block in blocks if len(block)]
    if not full:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.concat(full, ignore_index=True)
    measured = rows["value"].notna().groupby([rows["method"], rows["proxy"], rows["quantity"]])
    return rows[measured.transform("any")].reset_index(drop=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One row per proxy, one column per truth, one line per method: the mean over its seeds, or its seed."""
    data = method_rows(material, TRUTHS)
    truths = [name for name in TRUTHS if name in set(data["quantity"])]
    proxies = data.sort_values("proxy_pairs", kind="stable").drop_duplicates("proxy")
    looks = method_looks(list(dict.fromkeys(data["method"])))
    limit = float(data["distance"].max())
    if len(proxies) > MANY:
        return _many(data, proxies["proxy"].tolist(), truths, looks, limit), data
    fig, axes = canvas(len(proxies), len(truths), row_height=2.3, sharex=True)
    for row, proxy in enumerate(proxies.to_dict("records")):
        for ax, truth in zip(axes[row], truths, strict=True):
            zero_line(ax)
            sqrt_kl_axis(ax, limit, top=row == 0, bottom=row == len(proxies) - 1)
            _panel(ax, data[(data["proxy"] == proxy["proxy"]) & (data["quantity"] == truth)], looks)
            ax.set_ylabel(f"{truth} score ({SD})")
        label = f"{proxy['proxy']} proxy, {int(proxy['proxy_pairs']):,} pairs"
        axes[row, 0].set_ylabel(f"{label}\n{truths[0]} score ({SD})")
    shared_legend(fig, axes, columns=4)
    return fig, data


def _many(
    data: pd.DataFrame, proxies: list[str], truths: list[str], looks: dict[str, Look], limit: float
) -> Figure:
    fig, cells = small_multiples(len(proxies), panels=len(truths))
    for cell, proxy in zip(cells, proxies, strict=True):
        for ax, truth in zip(cell.axes, truths, strict=True):
            zero_line(ax)
            sqrt_kl_axis(ax, limit, top=False, bottom=cell.bottom)
            _panel(ax, data[(data["proxy"] == proxy) & (data["quantity"] == truth)], looks)
            ax.set_title(f"{proxy} proxy\n{truth}", fontsize=TITLE)
        if cell.left:
            cell.axes[0].set_ylabel(f"score ({SD})")
    shared_legend(fig, np.array([cell.axes for cell in cells]), columns=3)
    return fig


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    crowded = rows["method"].nunique() > CROWDED
    for method, line in rows.groupby("method", sort=False):
        bold = headline(line)
        interval = None if crowded or bold["lo"].isna().all() else (bold["lo"], bold["hi"])
        curve(ax, bold["distance"], bold["value"], looks[str(method)], interval, linewidth=1.1)


def caption(material: Material) -> str:
    bands = (
        "Where a panel holds more than three lines, bands are left out: the figure and the table of "
        "differences "
        "at equal KL have the intervals."
    )
    return (
        "Change of score from the reference policy, in its standard deviations, over how far each method has "
        "moved the policy. All are measured by the same meter on the same prompts; best of n and "
        "the frontier "
        "(the reference policy reweighted for the proxy, without training) come from the pool and "
        "end where it "
        f"does not carry further. {bands} {seeds_and_prompts(material, pool=True)}"
    )


def lacks(material: Material) -> str | None:
    rows = method_rows(material, TRUTHS)
    if rows.empty:
        return "no run under path control and no best-of-n pool left scored points"
    return None if rows["method"].nunique() > 1 else "there is one method only, and nothing to put beside it"


PLOT = Plot(
    title="All methods on one meter",
    description=(
        "Line charts of gold and oracle score against the square root of KL: one line per method, "
        "best of n, and "
        "the optimiser-free frontier."
    ),
    requirement="needs two methods, or a path run and a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
