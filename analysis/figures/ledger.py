"""What the proxy's reward was earned with, along sqrt(KL)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.behaviour.ledger import REMAINDER
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import seeds_and_prompts
from analysis.figures.drawing.style import SD, canvas, shared_legend, sqrt_kl_axis
from analysis.figures.spectrum import shown_paths, side_name

HUES = {
    "truth": "#009E73",
    "agreement": "#D55E00",
    "confidence": "#0072B2",
    "praise": "#CC79A7",
    "evidence": "#E69F00",
    "length": "#56B4E9",
    REMAINDER: "#BBBBBB",
}
HATCHES = {"agreement": "///", "praise": "...", "length": "\\\\\\", REMAINDER: "xx"}
"""A second sign beside the colour."""
COLUMNS = 2


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    table = material.tables.behaviour.ledger
    table = table.assign(name=side_name(table))
    doses = material.tables.behaviour.spectrum.drop_duplicates("proxy").set_index("proxy")[
        ["dose_of", "dose"]
    ]
    shown = shown_paths(table.join(doses, on="proxy"))
    data = table.merge(shown, on=list(shown))
    columns = min(COLUMNS, len(shown))
    fig, axes = canvas(-(-len(shown) // columns), columns, row_height=1.9, sharey=True)
    for place, (ax, (_, path)) in enumerate(zip(axes.flat, shown.iterrows(), strict=False)):
        mine = data[(data["name"] == path["name"]) & (data["proxy"] == path["proxy"])]
        _bars(ax, mine)
        ax.set_title(f"{path['proxy']}{' (' + path['name'] + ')' if data['name'].nunique() > 1 else ''}")
        sqrt_kl_axis(
            ax, float(mine["sqrt_kl"].max()), top=place < columns, bottom=place >= len(shown) - columns
        )
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel(f"gain of proxy reward\n({SD})")
    shared_legend(fig, axes, columns=4)
    return fig, data


def _bars(ax: Axes, rows: pd.DataFrame) -> None:
    """A stack per point: what adds to the reward upwards from 0, what costs it downwards."""
    table = rows.pivot(index="place", columns="source", values="share").fillna(0.0)
    d = rows.drop_duplicates("place").set_index("place")["sqrt_kl"].reindex(table.index).to_numpy()
    order = np.argsort(d, kind="stable")
    d, table = d[order], table.iloc[order]
    width = 0.8 * np.minimum(np.diff(d, prepend=-np.inf), np.diff(d, append=np.inf))
    width = np.clip(width, 0.004 * d.max(), 0.12 * d.max())
    up, down = np.zeros(len(d)), np.zeros(len(d))
    for source, hue in HUES.items():
        if source not in table:
            continue
        value = table[source].to_numpy(dtype=float)
        bottom = np.where(value >= 0, up, down)
        ax.bar(d, value, width, bottom, color=hue, hatch=HATCHES.get(source), edgecolor="white",
               linewidth=0.2, label=source)  # fmt: skip
        up, down = up + np.maximum(value, 0), down + np.minimum(value, 0)
    ax.plot(d, table.sum(axis=1), color="black", linewidth=0.8, marker="o", markersize=2, label="whole gain")
    ax.axhline(0, color="0.3", linewidth=0.6)


def lacks(material: Material) -> str | None:
    if material.tables.behaviour.ledger.empty:
        return "no completed path run was both scored and parsed into what answers state and how they say it"
    return None


def caption(material: Material) -> str:
    gains = material.tables.behaviour.gains
    last = gains.dropna(subset="gain").groupby(["method", "proxy"], sort=False).tail(1)
    left = (last["remainder"] / last["gain"]).where(last["gain"].abs() > 0)
    said = f"{100 * left.min():.0f} to {100 * left.max():.0f} %" if left.notna().any() else "an unknown part"
    behind = seeds_and_prompts(material).replace(
        "; bands are 95 % intervals", "; intervals, in the .csv, are"
    )
    return (
        "The gain of the proxy's reward over the reference policy (dots), shared out among what the parser "
        "sees in the completions: Shapley values of a model of this reward with all interactions of two "
        "features, fitted to every point of the run, prompt by prompt against the reference policy's own "
        "answer. Bars "
        f"below zero cost reward. Grey is what the model leaves unexplained: {said} of the gain at the last "
        f"points. {behind}"
    )


PLOT = Plot(
    title="What the reward was earned with",
    description=(
        "Stacked signed bars, one panel per proxy, against the square root of the KL: the share of the "
        "proxy's gain that came from truth, agreement, confidence, praise, evidence and length, and what "
        "is unexplained."
    ),
    requirement="needs parsed outcomes",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
