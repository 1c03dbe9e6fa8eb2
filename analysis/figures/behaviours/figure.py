"""A figure for each behaviour: what happens under a few annotators, and what else it could be."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from analysis.figures.behaviours.controls import AFFECTED, BEHAVIOURS, CONTRAST, CONTROL_LOOKS, Behaviour
from analysis.figures.behaviours.scene import Scene, as_text, headline_of, scene
from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import (
    BLACK,
    DASH_DOTTED,
    DOTTED,
    GREEN,
    Look,
    canvas,
    curve,
    sqrt_kl_axis,
)

SECTION = "Each behaviour beside its controls"
LEGEND_DROP = 0.45
"""Inches from the x axis down to its legend: below the ticks and the label."""
ROLE_LOOKS = {
    "affected": AFFECTED,
    "unbiased": CONTRAST,
    "without": CONTRAST,
    "least": CONTRAST,
    "random": Look("", BLACK, DOTTED, "x"),
    "gold": Look("", GREEN, DASH_DOTTED, "^"),
}


def draw(behaviour: Behaviour, material: Material) -> Drawing | Reason:
    """Left the behaviour under a few proxies; right, under the one with most of it, beside its controls."""
    found = scene(behaviour, material)
    if not isinstance(found, Scene):
        return found
    return Drawing(_figure(behaviour, found), found.rows, _caption(behaviour, material, found))


def _figure(behaviour: Behaviour, found: Scene) -> Figure:
    rows, headline = found.rows, headline_of(behaviour)
    entries = rows.groupby("panel")["label"].nunique()
    lines = max(int(entries["happens"]) + 1, int(entries["controls"]))
    fig, axes = canvas(1, 2, row_height=1.7 + 0.15 * lines, sharey=True)
    left, right = axes[0]
    _curves(left, rows[rows["panel"] == "happens"], ROLE_LOOKS, "role")
    left.axhline(
        found.reference, color="0.45", linewidth=1, linestyle=(0, (1, 2)), zorder=0,
        label=r"$\pi_{\mathrm{ref}}$, before optimisation",
    )  # fmt: skip
    controls = list(dict.fromkeys(rows.loc[rows["role"] == "control", "quantity"]))
    looks = {headline.measure: AFFECTED, **dict(zip(controls, CONTROL_LOOKS, strict=False))}
    _curves(right, rows[rows["panel"] == "controls"], looks, "quantity")
    left.set_title("what happens")
    right.set_title(f"what else it could be, under {found.who['affected']}")
    left.set_ylabel(textwrap.fill(f"how often the policy {headline.label}", 24), fontsize=8)
    low, high = float(rows[["lo", "value"]].min().min()), float(rows[["hi", "value"]].max().max())
    left.set_ylim(min(0.0, low) - 0.03, max(high, 0.2) + 0.03)
    for ax in (left, right):
        sqrt_kl_axis(ax, float(rows["distance"].max()))
        # In inches under the axis, whatever its height, so that the layout can make room for it.
        below = ax.transAxes + ScaledTranslation(0, -LEGEND_DROP, fig.dpi_scale_trans)
        ax.legend(
            loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, fontsize=7, handlelength=2.6,
            borderaxespad=0,
        )  # fmt: skip
    return fig


def _curves(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], by: str) -> None:
    if (rows["value"] < 0).any():
        zero_line(ax)
    for label, mine in rows.groupby("label", sort=False):
        look = replace(looks[mine[by].iloc[0]], label=str(label))
        curve(ax, mine["distance"], mine["value"], look, (mine["lo"], mine["hi"]))


def _caption(behaviour: Behaviour, material: Material, found: Scene) -> str:
    rows = found.rows
    happens = list(dict.fromkeys(rows.loc[rows["panel"] == "happens", "label"]))
    controls = list(dict.fromkeys(rows.loc[rows["role"] == "control", "label"]))
    rates = "; ".join(f"{label} {found.read('happens', label)}" for label in happens)
    beside = "; ".join(f"{label} {found.read('controls', label)}" for label in controls)
    luck = (
        f" (picked as the largest of {found.candidates}, so in part by luck)" if found.candidates > 1 else ""
    )
    return (
        f"{behaviour.what} Left, at KL {found.distance**2:.2g} nats, the largest that all {found.paths} "
        f"paths reach{luck}: {rates}; reference policy {as_text(found.reference)}. "
        f"{_onset(behaviour, material, found)}"
        + (f"Right, there: {beside}. " if beside else "")
        + f"{behaviour.reading} {_behind(behaviour, material, found)}"
    )


def _path_rows(table: pd.DataFrame, behaviour: Behaviour, found: Scene) -> pd.DataFrame:
    """Those of the path with most of this behaviour."""
    method = found.rows["method"].iloc[0]
    return table[
        (table["behaviour"] == headline_of(behaviour).measure) & (table["proxy"] == found.who["affected"])
        & (table["method"] == method)
    ]  # fmt: skip


def _onset(behaviour: Behaviour, material: Material, found: Scene) -> str:
    rows = _path_rows(material.tables.behaviour_onsets, behaviour, found)
    if rows.empty:
        return ""
    kl = float(rows["onset_kl"].iloc[0])
    proxy = found.who["affected"]
    if np.isnan(kl):
        return f"No rise under {proxy} is beyond chance. "
    return f"The rise under {proxy} is beyond chance from KL {kl:.2g} nats on. "


def _behind(behaviour: Behaviour, material: Material, found: Scene) -> str:
    items = _path_rows(material.tables.behaviour_spectrum, behaviour, found)["clusters"].max()
    counted = f", up to {int(items)} items count" if np.isfinite(items) else ""
    least, most = found.seeds
    if most == 1:
        runs, over = "One run (seed)", "prompts and say nothing about other seeds"
    else:
        runs, over = f"{most if least == most else f'{least} to {most}'} runs (seeds)", "prompts and seeds"
    return f"{runs} per proxy{counted}; bands and brackets are 95 % intervals over {over}."


def _plot(behaviour: Behaviour) -> Plot:
    return Plot(
        title=behaviour.title,
        description=(
            "Two line charts against the square root of the KL. Left: "
            f"{behaviour.what[0].lower()}{behaviour.what[1:-1]}, as a rate under a few proxies. Right: the "
            "same rate beside its controls."
        ),
        draw=partial(draw, behaviour),
        section=SECTION,
    )


PLOTS: dict[str, Plot] = {f"behaviour_{headline_of(each).measure}": _plot(each) for each in BEHAVIOURS}
