"""How good each reward model is on held-out pairs, before anything is optimised against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import canvas, shared_legend

COLORS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
TRUTHS = {"oracle_agreement": "the oracle", "gold_agreement": "gold"}
"""What a card can be compared with, the best first."""
MARKERS = "oDs^vP"
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (6, 2)), (0, (3, 1)))


def model_label(name: str, pairs: int | None, seeds: int = 1) -> str:
    """ "gold" or "starved (400 pairs)", with the replicate's seed only where there is more than one."""
    kind, _, rest = name.partition("/")
    if kind != "proxy":
        return name if not pairs else f"{name} ({pairs:,} pairs)"
    group, _, seed = rest.partition("/")
    replicate = f", seed {seed}" if seeds > 1 else ""
    return f"{group} ({pairs:,} pairs{replicate})" if pairs else f"{group}{replicate}"


def card_label(card: Mapping[str, Any], material: Material) -> str:
    group = (material.experiment.proxies or {}).get(card.get("proxy") or "", {})
    return model_label(str(card["name"]), card.get("pairs"), int(group.get("seeds", 1)))


def numbers(material: Material) -> pd.DataFrame:
    """Long: model, label, quantity, x (confidence, for reliability), value, low, high, count."""
    rows = []
    for card in sorted(material.experiment.cards, key=lambda card: (card["kind"] != "gold", card["pairs"])):
        base = {"model": card["name"], "label": card_label(card, material)}
        low, high = card.get("accuracy_ci") or (np.nan, np.nan)
        rows.append({**base, "quantity": "accuracy", "value": card.get("accuracy"), "lo": low, "hi": high})
        for quantity in ("length_correlation", "oracle_agreement", "gold_agreement"):
            if card.get(quantity) is not None:
                rows.append({**base, "quantity": quantity, "value": card[quantity]})
        for bin_ in card.get("reliability") or []:
            place = {"x": bin_["confidence"], "value": bin_["accuracy"], "count": bin_["count"]}
            rows.append({**base, "quantity": "reliability", **place})
    columns = ["model", "label", "quantity", "x", "value", "lo", "hi", "count"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({name: float for name in columns[3:]})


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """Panels: accuracy, calibration, agreement with the best truth at hand, correlation with length."""
    data = numbers(material)
    truth = _truth(data)
    labels = list(dict.fromkeys(data["label"]))
    looks = {label: (COLORS[i % 6], MARKERS[i % 6], LINES[i % 6]) for i, label in enumerate(labels)}
    fig, axes = canvas(2, 2, row_height=1.15 + 0.16 * max(4, len(labels)))
    _dots(axes[0, 0], data, "accuracy", looks, names=True)
    axes[0, 0].set_xlabel("accuracy on held-out pairs (share)")
    axes[0, 0].axvline(0.5, color="0.6", linewidth=0.7, zorder=0)
    _reliability(axes[0, 1], data, looks)
    if truth is None:
        axes[1, 1].remove()
        last = axes[1, 0]
    else:
        _dots(axes[1, 0], data, truth, looks, names=True)
        axes[1, 0].set_xlabel(f"agreement with {TRUTHS[truth]} (share of pairs)")
        axes[1, 0].axvline(0.5, color="0.6", linewidth=0.7, zorder=0)
        last = axes[1, 1]
    _dots(last, data, "length_correlation", looks, names=truth is None)
    last.set_xlabel("correlation of reward with length (r)")
    last.axvline(0, color="0.6", linewidth=0.7, zorder=0)
    last.set_xlim(-1, 1)
    shared_legend(fig, axes[:1, 1:], columns=3)
    drawn = ["accuracy", "reliability", "length_correlation", truth]
    return fig, data[data["quantity"].isin([name for name in drawn if name])].reset_index(drop=True)


def _truth(data: pd.DataFrame) -> str | None:
    """The best stand-in for the truth that the cards were compared with."""
    present = set(data["quantity"])
    return next((name for name in TRUTHS if name in present), None)


def _dots(ax: Axes, data: pd.DataFrame, quantity: str, looks: Mapping[str, Any], *, names: bool) -> None:
    """A row per model, the first on top; a bar where there is an interval."""
    labels = list(looks)
    for row in data[data["quantity"] == quantity].to_dict("records"):
        color, marker, _ = looks[row["label"]]
        place = labels.index(row["label"])
        if np.isfinite(row["lo"]) and np.isfinite(row["hi"]):
            ax.plot([row["lo"], row["hi"]], [place, place], color=color, linewidth=1.1)
        dot = {"marker": marker, "linestyle": "none", "markersize": 4.5, "clip_on": False}
        ax.plot(row["value"], place, color=color, **dot)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_yticks(range(len(labels)), labels if names else [""] * len(labels))
    if quantity != "length_correlation":
        low = np.nanmin([0.45, *data.loc[data["quantity"] == quantity, ["value", "lo"]].to_numpy().ravel()])
        ax.set_xlim(low - 0.02, 1.0)


def _reliability(ax: Axes, data: pd.DataFrame, looks: Mapping[str, Any]) -> None:
    ax.plot([0.5, 1], [0.5, 1], color="0.6", linewidth=0.7, zorder=0)
    ax.text(
        0.98, 0.04, "grey: calibrated", transform=ax.transAxes, ha="right", va="bottom", fontsize=6.5,
        color="0.4",
    )  # fmt: skip
    for label, rows in data[data["quantity"] == "reliability"].groupby("label", sort=False):
        color, marker, line = looks[str(label)]
        ordered = rows.sort_values("x")
        ax.plot(ordered["x"], ordered["value"], color=color, marker=marker, linestyle=line, label=str(label))
    ax.set_xlabel("confidence in the preferred completion")
    ax.set_ylabel("share right")


def caption(material: Material) -> str:
    data = numbers(material)
    pairs = [int(card["heldout_pairs"]) for card in material.experiment.cards if card.get("heldout_pairs")]
    tested = (
        f"{min(pairs):,} to {max(pairs):,}"
        if pairs and min(pairs) != max(pairs)
        else f"{max(pairs, default=0):,}"
    )
    truth = _truth(data)
    against = {
        "oracle_agreement": "agreement is the share of held-out pairs that the model orders as the oracle "
        "does; ",
        "gold_agreement": "this world has no oracle, so agreement is with the gold reward model; ",
        None: "the cards hold no comparison with a truth; ",
    }[truth]
    return (
        "Each reward model before anything was optimised against it: accuracy on the labels of its own "
        "held-out pairs "
        f"({tested} pairs per model; the bar is the 95 % interval), calibration (a point on the diagonal is "
        f"right as often "
        f"as it claims), {against}and how strongly reward goes with length."
    )


PLOT = Plot(
    title="How good the reward models are before anyone exploits them",
    description=(
        "Dot plots of accuracy, agreement and reward-length correlation for every reward model, and a "
        "reliability "
        "curve of the share right against the confidence claimed."
    ),
    requirement="needs reward-model cards",
    lacks=lambda material: None if material.experiment.cards else "the records hold no reward-model card",
    draw=draw,
    caption=caption,
)
