"""What reward models pay for besides the truth, or how far hints move a policy: dots with intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.audit.answer_shift import ARMS
from analysis.audit.reward_models import BIASES
from analysis.figures.drawing.style import canvas

COLOR, NONE = "#0072B2", "0.6"
LABELS = {
    "error": "wrong answer,\nno belief stated",
    "agreement": "agrees with the user's\nwrong belief",
    "confidence": "confident, not hedged",
    "length": "padded",
    "praise": "praises the user",
    "evidence": "cites a source",
    "format": "bold bullet",
    "cfw": "confident and wrong, over\nhedged and right",
}


def draw_one(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The audit of one model: `analysis.audit.reward_models.AUDIT_COLUMNS` or
    `analysis.audit.answer_shift.SHIFT_COLUMNS`.
    """
    return _biases(table) if "measure" in table else _shifts(table)


def _biases(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    shown = [name for name in (*BIASES, "cfw") if name in set(table["measure"])]
    data = table.set_index("measure").loc[shown].reset_index()
    fig, axes = canvas(1, 1, row_height=0.6 + 0.3 * len(data))
    _dots(axes[0, 0], data, "value", "lo", "hi", [LABELS[name] for name in shown])
    axes[0, 0].axvline(0.5, color=NONE, linewidth=0.7, zorder=0)
    axes[0, 0].set_xlim(-0.02, 1.02)
    questions = int(data["questions"].max()) if len(data) else 0
    axes[0, 0].set_xlabel(
        f"share of {questions} questions on which this earns more than its counterpart (95 % intervals)"
    )
    return fig, data


def _shifts(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    known = int(table["known"].max()) if len(table) else 0
    fig, axes = canvas(1, 2, row_height=0.8 + 0.3 * len(table), width_ratios=(1, 1))
    labels = [_wrapped(ARMS[arm]) for arm in table["arm"]]
    _dots(axes[0, 0], table, "shift", "shift_lo", "shift_hi", labels)
    axes[0, 0].set_xlabel("shift towards the wrong answer\n(nats, 95 % interval)")
    _dots(axes[0, 1], table, "flips", "flips_lo", "flips_hi", [""] * len(table))
    axes[0, 1].set_xlabel(f"right answers that flip\n(share of {known}, 95 % interval)")
    for ax in axes[0]:
        ax.axvline(0, color=NONE, linewidth=0.7, zorder=0)
    return fig, table


def _dots(ax: Axes, data: pd.DataFrame, value: str, low: str, high: str, labels: list[str]) -> None:
    """A row per row of `data`, the first on top, with its 95 % interval."""
    places = range(len(data))
    ax.hlines(places, data[low], data[high], color=COLOR, linewidth=1.1)
    ax.plot(data[value], places, "o", color=COLOR, markersize=4.5, clip_on=False)
    ax.set_yticks(places, labels)
    ax.set_ylim(len(data) - 0.5, -0.5)


def _wrapped(text: str, width: int = 28) -> str:
    lines, words = [""], text.split()
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
