"""Runs that were given an amount of KL to spend: how much they spent, and what it bought."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.behaviours.controls import headline_of
from analysis.figures.drawing.lines import marks, zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import by_pairs
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import COLORS, MARKERS, NATS, SD, Look
from analysis.tables.runs import BUDGET_TOLERANCE as TOLERANCE

COLUMNS = [
    *("run_id", "proxy", "proxy_pairs", "seed", "budget", "kl_measured", "missed"),
    *("quantity", "value", "lo", "hi"),
]


def draw(material: Material) -> Drawing | Reason:
    """First panel: measured against target KL. One more for each outcome, at the KL that was really spent."""
    if material.tables.budgets.empty:
        return "no run was given a KL budget"
    behaviour = material.experiment.headline_behaviour
    outcomes = ("gold", "oracle", behaviour)
    data = _numbers(material.tables.budgets, ("kl", *outcomes))
    if not data["value"].notna().any():
        return "no run with a KL budget left a measured point"
    looks = {
        proxy: Look(
            f"{proxy} proxy, {int(pairs):,} pairs", COLORS[place % len(COLORS)], "none", MARKERS[place]
        )
        for place, (proxy, pairs) in enumerate(by_pairs(data).items())
    }

    def panel(quantity: str, cell: Cell) -> None:
        rows, ax = data[data["quantity"] == quantity], cell.ax
        if quantity == "kl":
            _targets(ax, rows)
        x = "budget" if quantity == "kl" else "kl_measured"
        for proxy, look in looks.items():
            mine = rows[rows["proxy"] == proxy]
            marks(ax, mine[x], mine, look, mine["missed"].astype(bool))
        if quantity == "kl":
            return
        ax.set_xlim(left=0)
        ax.set_xlabel(f"measured {NATS}")
        if quantity == behaviour:
            ax.set_ylabel(textwrap.fill(f"share of prompts on which it {headline_of(behaviour).label}", 30))
            ax.set_ylim(-0.03, 1.03)
        else:
            zero_line(ax)
            ax.set_ylabel(f"{quantity} score ({SD})")

    found = [name for name in ("kl", *outcomes) if name in set(data["quantity"])]
    figure = grid_of_panels(found, panel, row_height=1.8, share_x=False, share_y=False)
    return Drawing(figure, data, _caption(data))


def _numbers(runs: pd.DataFrame, quantities: tuple[str, ...]) -> pd.DataFrame:
    """Long rows (`COLUMNS`): for each run with a budget its measured KL and what it reached there."""
    blocks = []
    for quantity in quantities:
        if quantity not in runs or not runs[quantity].notna().any():
            continue
        block = runs.assign(quantity=quantity, value=runs[quantity].astype(float))
        for side in ("lo", "hi"):
            block[side] = runs.get(f"{quantity}_{side}", pd.Series(np.nan, index=runs.index))
        block["missed"] = ~runs["within"].astype(bool)
        blocks.append(block.rename(columns={"kl": "kl_measured"})[COLUMNS])
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=COLUMNS)


def _targets(ax: Axes, rows: pd.DataFrame) -> None:
    longest = 1.12 * float(np.nanmax(rows[["budget", "value"]].to_numpy()))
    line = np.array([0.0, longest])
    ax.plot(line, line, color="0.5", linewidth=0.8, zorder=0)
    ax.fill_between(line, (1 - TOLERANCE) * line, (1 + TOLERANCE) * line, color="0.9", linewidth=0, zorder=-1,
                    label=f"within {TOLERANCE:.0%} of the budget")  # fmt: skip
    missed = rows[rows["missed"] & rows["value"].notna()].drop_duplicates(["proxy", "budget"])
    for place in missed[["budget", "value"]].itertuples(index=False):
        ax.annotate("missed", tuple(place), xytext=(-6, 0), textcoords="offset points", ha="right",
                    va="center", fontsize=7)  # fmt: skip
    ax.set_xlim(0, longest)
    ax.set_ylim(0, longest)
    ax.set_xlabel("KL budget (nats per sequence)")
    ax.set_ylabel("measured KL (nats)")


def _caption(data: pd.DataFrame) -> str:
    runs = data[data["quantity"] == "kl"]
    unmeasured = int(runs["value"].isna().sum())
    missed = int((runs["missed"] & runs["value"].notna()).sum())
    return (
        "Runs that a controller held at a KL budget. Top left: the KL measured on the evaluation prompts "
        f"against the budget; the grey wedge is ±{TOLERANCE:.0%}, open markers lie outside it. Other panels: "
        "what each run had reached at the KL it really spent, with 95 % intervals over prompts. "
        f"{missed} of {len(runs)} runs missed their budget by more than {TOLERANCE:.0%}"
        + (f"; {unmeasured} left no measurement and are not drawn." if unmeasured else ".")
    )


PLOT = Plot(
    title="Spending a KL budget, and what it bought",
    description=(
        "Scatter plots: measured against target KL for every run with a budget, then gold score, oracle "
        "score and the headline behaviour against the KL measured."
    ),
    draw=draw,
)
