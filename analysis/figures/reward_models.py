"""How good each reward model is on held-out pairs, before anything is optimised against it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.dot_rows import dot_rows, reference_line
from analysis.figures.drawing.model_labels import model_labels
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import (
    BLACK,
    COLORS,
    DASH_DOTTED,
    DASHED,
    DOTTED,
    MARKERS,
    SOLID,
    Look,
)

TRUTHS = {"oracle_agreement": "the oracle", "gold_agreement": "gold"}
"""What a card can be compared with, the best first."""
LINES = (SOLID, DASHED, DASH_DOTTED, DOTTED, (0, (6, 2)), (0, (3, 1)))
PALETTE = (BLACK, *COLORS[:-1])
"""Gold, which comes first, is black."""


def draw(material: Material) -> Drawing | Reason:
    """Panels: accuracy, calibration, agreement with the best truth at hand, correlation with length."""
    if not material.experiment.cards:
        return "the records hold no reward-model card"
    labels = model_labels(material.experiment)
    data = _numbers(material, labels)
    present = set(data["quantity"])
    truth = next((name for name in TRUTHS if name in present), None)
    looks = {
        label: Look(
            label, PALETTE[place % len(PALETTE)], LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]
        )
        for place, label in enumerate(labels.values())
    }
    words = {
        "accuracy": "accuracy on held-out pairs (share)",
        "reliability": "confidence in the preferred completion",
        truth: f"agreement with {TRUTHS.get(truth or '')} (share of pairs)",
        "length_correlation": "correlation of reward with length (r)",
    }

    def panel(quantity: str, cell: Cell) -> None:
        mine = data[data["quantity"] == quantity]
        cell.ax.set_xlabel(words[quantity])
        if quantity == "reliability":
            _reliability(cell.ax, mine, looks)
            return
        dot_rows(cell.ax, mine, list(looks), colors=[look.color for look in looks.values()],
                 markers=[look.marker for look in looks.values()])  # fmt: skip
        if quantity == "length_correlation":
            cell.ax.tick_params(labelleft=truth is None)
            reference_line(cell.ax, 0)
            cell.ax.set_xlim(-1, 1)
        else:
            reference_line(cell.ax, 0.5)
            cell.ax.set_xlim(np.nanmin([0.45, *mine[["value", "lo"]].to_numpy().ravel()]) - 0.02, 1.0)

    figure = grid_of_panels(
        [name for name in words if name], panel, across=2, share_x=False, share_y=False, legend_columns=3,
        row_height=1.15 + 0.16 * max(4, len(labels)),
    )  # fmt: skip
    drawn = data[data["quantity"].isin([name for name in words if name])].reset_index(drop=True)
    return Drawing(figure, drawn, _caption(material, truth))


def _numbers(material: Material, labels: Mapping[str, str]) -> pd.DataFrame:
    """Long: model, label, quantity, x (confidence, for reliability), value, lo, hi, count."""
    cards, rows = {str(card["name"]): card for card in material.experiment.cards}, []
    for name, label in labels.items():
        card, base = cards[name], {"model": name, "label": label}
        low, high = card.get("accuracy_ci") or (np.nan, np.nan)
        rows.append({**base, "quantity": "accuracy", "value": card.get("accuracy"), "lo": low, "hi": high})
        for quantity in ("length_correlation", *TRUTHS):
            if card.get(quantity) is not None:
                rows.append({**base, "quantity": quantity, "value": card[quantity]})
        for bin_ in card.get("reliability") or []:
            place = {"x": bin_["confidence"], "value": bin_["accuracy"], "count": bin_["count"]}
            rows.append({**base, "quantity": "reliability", **place})
    columns = ["model", "label", "quantity", "x", "value", "lo", "hi", "count"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype(dict.fromkeys(columns[3:], float))


def _reliability(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    ax.plot([0.5, 1], [0.5, 1], color="0.6", linewidth=0.7, zorder=0)
    ax.text(
        0.98, 0.04, "grey: calibrated", transform=ax.transAxes, ha="right", va="bottom", fontsize=6.5,
        color="0.4",
    )  # fmt: skip
    for label, line in rows.groupby("label", sort=False):
        ordered = line.sort_values("x")
        ax.plot(ordered["x"], ordered["value"], label=str(label), **looks[str(label)].line_kwargs())
    ax.set_ylabel("share right")


def _caption(material: Material, truth: str | None) -> str:
    pairs = [int(card["heldout_pairs"]) for card in material.experiment.cards if card.get("heldout_pairs")]
    least, most = min(pairs, default=0), max(pairs, default=0)
    against = {
        "oracle_agreement": "agreement is the share of held-out pairs that the model orders as the oracle "
        "does; ",
        "gold_agreement": "this world has no oracle, so agreement is with the gold reward model; ",
        None: "the cards hold no comparison with a truth; ",
    }[truth]
    return (
        "Each reward model before anything was optimised against it: accuracy on the labels of its own "
        f"held-out pairs ({f'{least:,}' if least == most else f'{least:,} to {most:,}'} pairs per model; "
        "the bar is the 95 % interval), calibration (a point on the diagonal is right as often as it "
        f"claims), {against}and how strongly reward goes with length."
    )


PLOT = Plot(
    title="How good the reward models are before anyone exploits them",
    description=(
        "Dot plots of accuracy, agreement and reward-length correlation for every reward model, and a "
        "reliability curve of the share right against the confidence claimed."
    ),
    draw=draw,
)
