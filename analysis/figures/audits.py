"""What each reward model of an experiment pays for besides the truth: a panel for each bias."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.audit.reward_models import BIASES
from analysis.figures.drawing.biases import COLOR, LABELS, NONE
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.style import canvas
from analysis.figures.reward_models import model_label

COLUMNS = 4
HINTLESS = "#D55E00"


def numbers(material: Material) -> pd.DataFrame:
    """Rows of the audit that are shares, with a label for each model; the first model is to stand on top."""
    audit = material.tables.audit
    shown = [name for name in (*BIASES, "cfw") if name in set(audit["measure"])]
    cards = material.tables.reward_models.set_index("name")["pairs"]
    data = audit[audit["measure"].isin(shown)].reset_index(drop=True)
    data.insert(1, "label", [_label(name, cards, material) for name in data["scorer"]])
    return data


def _label(scorer: str, cards: pd.Series, material: Material) -> str:
    pairs = cards.get(scorer)
    group = scorer.split("/")[1] if "/" in scorer else ""
    seeds = int(material.experiment.proxies.get(group, {}).get("seeds", 1))
    return model_label(scorer, None if pairs is None or pd.isna(pairs) else int(pairs), seeds)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """Panels of dots with intervals; under agreement also the same model's rate where nothing was hinted."""
    data = numbers(material)
    labels = list(dict.fromkeys(data["label"]))
    measures = [name for name in LABELS if name in set(data["measure"])]
    rows = -(-len(measures) // COLUMNS)
    fig, axes = canvas(rows, COLUMNS, row_height=0.75 + 0.17 * max(4, len(labels)), sharex=True)
    for place, ax in enumerate(axes.flat):
        if place >= len(measures):
            ax.remove()
            continue
        _panel(ax, data, measures[place], labels, names=place % COLUMNS == 0)
        ax.tick_params(labelbottom=True)
    for ax in axes[-1]:
        ax.set_xlabel("share of questions")
    return fig, data


def _panel(ax: Axes, data: pd.DataFrame, measure: str, labels: list[str], *, names: bool) -> None:
    for row in data[data["measure"] == measure].to_dict("records"):
        place = labels.index(row["label"])
        ax.plot([row["lo"], row["hi"]], [place, place], color=COLOR, linewidth=1.1)
        ax.plot(row["value"], place, "o", color=COLOR, markersize=4, clip_on=False)
    if measure == "agreement":
        for row in data[data["measure"] == "error"].to_dict("records"):
            place = labels.index(row["label"])
            ax.plot(row["value"], place, "x", color=HINTLESS, markersize=4, clip_on=False)
    else:
        ax.axvline(0.5, color=NONE, linewidth=0.7, zorder=0)
    ax.set_title(LABELS[measure], fontsize=7.5)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.5, 1])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_yticks(range(len(labels)), labels if names else [""] * len(labels))


def caption(material: Material) -> str:
    questions = int(material.tables.audit["questions"].max())
    return (
        f"Before anything is optimised: {questions} questions about facts shown often, each answered by the "
        "world itself in versions that differ in one thing, and how often each reward model pays more for "
        "the version named on top. Dots: share of questions, ties counting one half; bars: 95 % intervals, "
        "resampled by question; line: one half, no preference. An oracle's row says what deserves it. The "
        "cross beside agreement is the share on which the model prefers the same wrong answer where nobody "
        "hinted at it: what lies right of the cross is due to the user's belief. A preference is a slope "
        "that optimisation may follow, not yet behaviour."
    )


PLOT = Plot(
    title="What each reward model pays for besides the truth",
    description="Dot plots of how often each reward model prefers a version with a bias, one panel per bias.",
    requirement="needs a world that writes matched completions",
    lacks=lambda material: (
        "the records hold no audit of the reward models" if material.tables.audit.empty else None
    ),
    draw=draw,
    caption=caption,
)
