"""What a mitigation buys and what it costs, at equal KL."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import SD, Look, canvas, shared_legend
from analysis.figures.equal_kl import kl_axis

PANELS = {
    "sycophancy": "repeats the user's\nwrong value (share)",
    "right_accuracy": "correct where the\nuser is right (share)",
    "gold": f"gold ({SD})",
    "oracle": f"oracle ({SD})",
}
COLOURS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "v"), ("#E69F00", "D"))


def numbers(material: Material) -> pd.DataFrame:
    """The rows of `Tables.mitigations` that are drawn; ``value`` is with the mitigation minus without it."""
    table = material.tables.mitigations.rename(columns={"difference": "value"})
    return table[table["score"].isin(PANELS)].reset_index(drop=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """A row per measure, a column per proxy, a mark per group of runs with a mitigation and KL."""
    data = numbers(material)
    measures = [name for name in PANELS if name in set(data["score"])]
    proxies = list(dict.fromkeys(data["proxy"]))
    looks = {
        side: Look(_label(side, title), *_appearance(place))
        for place, (side, title) in enumerate(dict(zip(data["a"], data["mitigation"], strict=True)).items())
    }
    kls = sorted(data["kl"].unique())
    fig, axes = canvas(len(measures), len(proxies), row_height=1.35, sharex=True, sharey="row")
    for line, measure in zip(axes, measures, strict=True):
        line[0].set_ylabel(PANELS[measure], fontsize=7.5)
        for ax, proxy in zip(line, proxies, strict=True):
            mine = data[(data["score"] == measure) & (data["proxy"] == proxy)]
            _panel(ax, mine, looks)
            kl_axis(ax, kls, bottom=measure == measures[-1])
    for ax, proxy in zip(axes[0], proxies, strict=True):
        ax.set_title(f"{proxy} proxy: with minus without")
    shared_legend(fig, axes, columns=2)
    return fig, data


def _label(side: str, title: str) -> str:
    group = side.partition(" (")[2].rstrip(")")
    return f"{title.replace('_', ' ')} ({group.replace('_', ' ')})"


def _appearance(place: int) -> tuple[str, str, str]:
    colour, marker = COLOURS[place % len(COLOURS)]
    return colour, "none", marker


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    zero_line(ax)
    for place, (side, look) in enumerate(looks.items()):
        mine = rows[rows["a"] == side]
        # Beside each other around the KL that they share.
        x = mine["kl"] * 2 ** (0.5 * ((place + 0.5) / len(looks) - 0.5))
        spread = np.stack([mine["value"] - mine["lo"], mine["hi"] - mine["value"]]).clip(min=0)
        ax.errorbar(x, mine["value"], yerr=spread, fmt="none", ecolor=look.color, elinewidth=0.9)
        ax.plot(x, mine["value"], color=look.color, marker=look.marker, linestyle="none", label=look.label)


def caption(material: Material) -> str:
    data = numbers(material)
    low, high = int(data["runs_a"].min()), int(data["runs_a"].max())
    runs = f"{low}" if low == high else f"{low} to {high}"
    return (
        "Runs with a mitigation minus runs of the same method without it, both read where they first reach "
        "that KL. The first row is what the mitigation is to buy (below zero: fewer wrong beliefs repeated, "
        "on facts that the reference policy knows); the others are what it may cost (below zero: worse than "
        "without). An unconditional penalty charges agreement whether or not the user is right: the price of "
        "not knowing the truth is in the second row. Bars are 95 % bootstrap intervals over prompts and, "
        f"where there are several, seeds: {runs} per side. A mark is missing where one of the two never got."
    )


def lacks(material: Material) -> str | None:
    if not numbers(material).empty:
        return None
    return "no completed path run with a mitigation and one without it have been measured at the same KL"


PLOT = Plot(
    title="What a mitigation buys and costs",
    description=(
        "Differences at fixed KL, with intervals, between runs with and without a mitigation: sycophancy, "
        "accuracy where the user is right, gold, oracle; one column per proxy."
    ),
    requirement="needs path runs with and without a mitigation",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
