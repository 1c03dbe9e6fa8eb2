"""What a unit of proxy score is worth: gold against the score that was optimised, KL left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.method_looks import FRONTIER, method_looks
from analysis.figures.drawing.path_rows import headline
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.drawing.small_multiples import MANY, TITLE, small_multiples
from analysis.figures.drawing.style import SD, Look, canvas, curve, shared_legend
from analysis.figures.methods import method_rows

KEY = ["method", "proxy", "run_id"]


def numbers(material: Material) -> pd.DataFrame:
    """The gold rows of every headline curve with ``proxy_score`` beside them, in the order of the path."""
    rows = method_rows(material, ("gold", "proxy_score"))
    rows = rows[rows["method"] != FRONTIER]
    bold = headline(rows) if len(rows) else rows
    place = bold.groupby([*KEY, "quantity"]).cumcount()
    gold, proxy = (bold.assign(place=place)[bold["quantity"] == name] for name in ("gold", "proxy_score"))
    score = proxy[[*KEY, "place", "value"]].rename(columns={"value": "proxy_score"})
    both = gold.merge(score, on=[*KEY, "place"], validate="one_to_one").drop(columns="place")
    return both.dropna(subset=["value", "proxy_score"]).reset_index(drop=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One panel per proxy, the least data first; one line per method, from the reference policy on."""
    data = numbers(material)
    proxies = data.sort_values("proxy_pairs", kind="stable").drop_duplicates("proxy").to_dict("records")
    looks = method_looks(list(dict.fromkeys(data["method"])))
    if len(proxies) > MANY:
        return _many(data, [proxy["proxy"] for proxy in proxies], looks), data
    columns = min(len(proxies), 2)
    fig, axes = canvas(-(-len(proxies) // columns), columns, row_height=2.4)
    for ax, proxy in zip(axes.flat, proxies, strict=False):
        mine = data[data["proxy"] == proxy["proxy"]]
        _panel(ax, mine, looks)
        low, high = mine[["lo", "value"]].min().min(), mine[["hi", "value"]].max().max()
        room = 0.05 * (high - low)
        ax.set_ylim(min(low, 0) - room, high + room)
        ax.set_title(f"{proxy['proxy']} proxy, {int(proxy['proxy_pairs']):,} pairs")
        ax.set_xlabel(f"proxy score ({SD})")
        ax.set_ylabel(f"gold score ({SD})")
    for ax in list(axes.flat)[len(proxies) :]:
        ax.remove()
    shared_legend(fig, axes, columns=3)
    return fig, data


def _many(data: pd.DataFrame, proxies: list[str], looks: dict[str, Look]) -> Figure:
    fig, cells = small_multiples(len(proxies))
    for cell, proxy in zip(cells, proxies, strict=True):
        ax = cell.axes[0]
        _panel(ax, data[data["proxy"] == proxy], looks)
        ax.set_title(f"{proxy} proxy", fontsize=TITLE)
        if cell.bottom:
            ax.set_xlabel(f"proxy score ({SD})")
        if cell.left:
            ax.set_ylabel(f"gold score ({SD})")
    shared_legend(fig, np.array([cell.axes for cell in cells]), columns=3)
    return fig


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    zero_line(ax)
    end = float(np.nanmax(rows["proxy_score"]))
    ax.plot([0, end], [0, end], color="0.6", linewidth=0.8, zorder=0, label="gold gains what the proxy gains")
    for method, line in rows.groupby("method", sort=False):
        curve(ax, line["proxy_score"], line["value"], looks[str(method)], linewidth=1.1)


def caption(material: Material) -> str:
    return (
        "Gold against proxy score along each method's path, both as changes from the reference "
        "policy in their "
        "own standard deviations. Where a line bends down, a higher proxy score buys less of gold. "
        "Methods whose "
        "lines coincide differ only in how much KL they pay for the same trade. Intervals are in the other "
        f"figures. {seeds_and_prompts(material, pool=True)}"
    )


def lacks(material: Material) -> str | None:
    return "no curve has both a gold and a proxy score" if numbers(material).empty else None


PLOT = Plot(
    title="What a unit of proxy score buys",
    description="Gold against proxy score, one panel per proxy, one line per method and one for best of n.",
    requirement="needs a path run or a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
