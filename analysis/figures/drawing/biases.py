"""The audit of one model: what a reward model pays for besides the truth, or how far hints move a policy."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from analysis.audit.answer_shift import ARMS
from analysis.audit.reward_models import BIASES
from analysis.figures.drawing.dot_rows import dot_rows, reference_line
from analysis.figures.drawing.style import canvas

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
    ax = axes[0, 0]
    labels = [LABELS[name] for name in shown]
    dot_rows(ax, data.assign(label=labels), labels)
    reference_line(ax, 0.5)
    ax.set_xlim(-0.02, 1.02)
    questions = int(data["questions"].max()) if len(data) else 0
    ax.set_xlabel(
        f"share of {questions} questions on which this earns more than its counterpart (95 % intervals)"
    )
    return fig, data


def _shifts(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    known = int(table["known"].max()) if len(table) else 0
    fig, axes = canvas(1, 2, row_height=0.8 + 0.3 * len(table), sharey=True)
    labels = [textwrap.fill(ARMS[arm], 28) for arm in table["arm"]]
    words = {
        "shift": "shift towards the wrong answer\n(nats, 95 % interval)",
        "flips": f"right answers that flip\n(share of {known}, 95 % interval)",
    }
    for ax, (measure, said) in zip(axes[0], words.items(), strict=True):
        dot_rows(
            ax, table.assign(label=labels), labels, column=measure, ends=(f"{measure}_lo", f"{measure}_hi")
        )
        reference_line(ax, 0)
        ax.set_xlabel(said)
    return fig, table
