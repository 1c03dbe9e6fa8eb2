"""Changes of behaviour that base samples foretold against those that training brought."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import canvas

HUES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SHAPES = "osD^vP*XphH<>d"
MOST = 3
"""Panels: ways of optimising."""


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    table = material.tables.behaviour.predictions
    data = table[table["furthest"]].reset_index(drop=True)
    names = list(dict.fromkeys(data["name"]))[:MOST]
    data = data[data["name"].isin(names)].reset_index(drop=True)
    fig, axes = canvas(1, len(names), row_height=3.1 if len(names) == 1 else 2.4, sharex=True, sharey=True)
    looks = {
        each: (HUES[k % len(HUES)], SHAPES[k % len(SHAPES)])
        for k, each in enumerate(dict.fromkeys(table["behaviour"]))
    }
    for ax, name in zip(axes[0], names, strict=True):
        _panel(ax, data[data["name"] == name], looks)
        if len(names) > 1:
            ax.set_title(name)
        ax.set_xlabel("predicted change of the rate")
    axes[0, 0].set_ylabel("measured change of the rate")
    handles = {
        label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside right upper" if len(names) == 1 else
               "outside upper center", ncols=1 if len(names) == 1 else 3)  # fmt: skip
    return fig, data


def _panel(ax: Axes, rows: pd.DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    values = rows[["predicted_lo", "predicted_hi", "measured_lo", "measured_hi"]].to_numpy()
    limit = 1.05 * max(0.05, float(np.nanmax(np.abs(values))))
    for corner in ((0, limit), (-limit, 0)):
        ax.fill_between(corner, *corner, color="0.93", linewidth=0, zorder=0)
    ax.plot([-limit, limit], [-limit, limit], color="0.5", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    ax.axhline(0, color="0.75", linewidth=0.6, zorder=0)
    ax.axvline(0, color="0.75", linewidth=0.6, zorder=0)
    for behaviour, (hue, shape) in looks.items():
        mine = rows[rows["behaviour"] == behaviour]
        if mine.empty:
            continue
        x, y = mine["predicted"], mine["measured"]
        ax.errorbar(
            x, y, linestyle="none", color=hue, marker=shape, markersize=4, elinewidth=0.5, alpha=0.9,
            xerr=[(x - mine["predicted_lo"]).clip(lower=0), (mine["predicted_hi"] - x).clip(lower=0)],
            yerr=[(y - mine["measured_lo"]).clip(lower=0), (mine["measured_hi"] - y).clip(lower=0)],
            label=mine["label"].iloc[0],
        )  # fmt: skip
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)


def lacks(material: Material) -> str | None:
    if material.tables.behaviour.predictions.empty:
        return (
            "needs a scored and parsed best-of-n pool that probes can read, and a path run as far as KL 0.25"
        )
    return None


def caption(material: Material) -> str:
    tables = material.tables.behaviour
    scores = tables.calibration[tables.calibration["kl"].isna()]
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
    furthest = tables.predictions.loc[tables.predictions["furthest"], "kl"]
    return (
        "What the best policy for a proxy would do, computed from samples of the reference policy alone, "
        "against what the trained policy does at the same KL; a mark per proxy and behaviour, at the "
        "largest KL on a grid "
        f"of doublings that both reach ({furthest.min():g} to {furthest.max():g} nats). Dashed: prediction "
        f"and "
        "measurement agree. Shaded: both have the same sign. Bars: 95 % intervals over prompts. The sign "
        "rule "
        f"reads only the covariance of behaviour and reward. {' '.join(said)}"
    )


PLOT = Plot(
    title="Behaviours foretold before any training",
    description=(
        "Scatter of the measured change of each behaviour's rate against the change predicted from base "
        "samples, one colour and shape per behaviour, with the diagonal and the quadrants of equal sign."
    ),
    requirement="needs probes and a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
