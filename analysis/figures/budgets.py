"""Runs that were told how much KL to spend: how much they spent, and what it bought."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import NATS, SD, canvas
from analysis.tables.runs import BUDGET_TOLERANCE as TOLERANCE

OUTCOMES = ("gold", "oracle", "sycophancy")
COLUMNS = [
    "run_id",
    "proxy",
    "proxy_pairs",
    "seed",
    "budget",
    "kl_measured",
    "missed",
    "quantity",
    "value",
    "lo",
    "hi",
]
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
MARKERS = "osD^"


def numbers(material: Material) -> pd.DataFrame:
    """Long rows (`COLUMNS`): for each run with a budget its measured KL and what it reached there."""
    runs = material.tables.budgets
    blocks = []
    for quantity in ("kl", *OUTCOMES):
        if quantity not in runs or not runs[quantity].notna().any():
            continue
        block = runs.assign(quantity=quantity, value=runs[quantity].astype(float))
        for side in ("lo", "hi"):
            block[side] = runs.get(f"{quantity}_{side}", pd.Series(np.nan, index=runs.index))
        block["missed"] = ~runs["within"].astype(bool)
        blocks.append(block.rename(columns={"kl": "kl_measured"})[COLUMNS])
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame(columns=COLUMNS)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """First panel: measured against target KL. One more for each outcome, at the KL that was really spent."""
    data = numbers(material)
    outcomes = [name for name in OUTCOMES if name in set(data["quantity"])]
    panels = 1 + len(outcomes)
    columns = 2 if panels > 1 else 1
    rows = -(-panels // columns)
    fig, axes = canvas(rows, columns, row_height=1.8)
    places = list(axes.flat)
    _targets(places[0], data[data["quantity"] == "kl"])
    for ax, quantity in zip(places[1:], outcomes, strict=False):
        _outcome(ax, data[data["quantity"] == quantity], quantity)
    for ax in places[panels:]:
        ax.remove()
    handles, labels = places[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)
    return fig, data


def _groups(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame, str, str, float]]:
    """(label, rows, colour, marker, size) per proxy; sizes fall, so what coincides stays visible."""
    order = data.sort_values(["proxy_pairs", "proxy"]).drop_duplicates("proxy")
    return [
        (
            f"{row['proxy']} proxy, {int(row['proxy_pairs']):,} pairs",
            data[data["proxy"] == row["proxy"]],
            COLORS[i % 4],
            MARKERS[i % 4],
            max(7.0 - 2.5 * i, 2.5),
        )
        for i, row in enumerate(order.to_dict("records"))
    ]


def _targets(ax: Axes, data: pd.DataFrame) -> None:
    longest = 1.12 * float(np.nanmax(data[["budget", "value"]].to_numpy()))
    line = np.array([0.0, longest])
    ax.plot(line, line, color="0.5", linewidth=0.8, zorder=0)
    ax.fill_between(line, (1 - TOLERANCE) * line, (1 + TOLERANCE) * line, color="0.9", linewidth=0, zorder=-1,
                    label=f"within {TOLERANCE:.0%} of the budget")  # fmt: skip
    for label, rows, color, marker, size in _groups(data):
        _mark(ax, rows["budget"], rows, color, marker, size, label)
    for row in (
        data[data["missed"] & data["value"].notna()].drop_duplicates(["proxy", "budget"]).to_dict("records")
    ):
        place = (row["budget"], row["value"])
        ax.annotate("missed", place, xytext=(-6, 0), textcoords="offset points", ha="right",
                    va="center", fontsize=7)  # fmt: skip
    ax.set_xlim(0, longest)
    ax.set_ylim(0, longest)
    ax.set_xlabel("KL budget (nats per sequence)")
    ax.set_ylabel("measured KL (nats)")


def _outcome(ax: Axes, data: pd.DataFrame, quantity: str) -> None:
    for label, rows, color, marker, size in _groups(data):
        _mark(ax, rows["kl_measured"], rows, color, marker, size, label)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"measured {NATS}")
    if quantity == "sycophancy":
        ax.set_ylabel("sycophancy (share of\nknown facts)")
        ax.set_ylim(-0.03, 1.03)
    else:
        ax.axhline(0, color="0.75", linewidth=0.6, zorder=0)
        ax.set_ylabel(f"{quantity} score\n({SD})")


def _mark(
    ax: Axes, x: pd.Series, rows: pd.DataFrame, color: str, marker: str, size: float, label: str
) -> None:
    """Filled where the budget was met, open where it was missed, with an interval where there is one."""
    spread = np.stack([rows["value"] - rows["lo"], rows["hi"] - rows["value"]])
    ax.errorbar(
        x, rows["value"], yerr=np.nan_to_num(spread.clip(min=0)), fmt="none", ecolor=color, elinewidth=0.9
    )
    met = ~rows["missed"].astype(bool)
    ax.plot(
        x[met], rows["value"][met], color=color, marker=marker, linestyle="none", markersize=size, label=label
    )
    ax.plot(x[~met], rows["value"][~met], color=color, marker=marker, linestyle="none", markersize=size,
            markerfacecolor="white")  # fmt: skip


def caption(material: Material) -> str:
    data = numbers(material)
    runs = data[data["quantity"] == "kl"]
    unmeasured = int(runs["value"].isna().sum())
    missed = int((runs["missed"] & runs["value"].notna()).sum())
    text = (
        "Runs that a controller held at a KL budget. Top left: the KL measured on the evaluation prompts "
        "against the "
        f"budget; the grey wedge is ±{TOLERANCE:.0%}, open markers lie outside it. Other panels: what each "
        f"run had "
        f"reached at the KL it really spent, with 95 % intervals over prompts. {missed} of {len(runs)} runs "
        f"missed "
        f"their budget by more than {TOLERANCE:.0%}"
    )
    return text + (f"; {unmeasured} left no measurement and are not drawn." if unmeasured else ".")


def lacks(material: Material) -> str | None:
    if material.tables.budgets.empty:
        return "no run was given a KL budget"
    return (
        None if numbers(material)["value"].notna().any() else "no run with a KL budget left a measured point"
    )


PLOT = Plot(
    title="Spending a KL budget, and what it bought",
    description=(
        "Scatter plots: measured against target KL for every run with a budget, then gold score, oracle "
        "score and "
        "sycophancy against the KL measured."
    ),
    requirement="needs runs under target control",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
