"""What each reward model of an experiment pays for besides the truth: a panel for each bias."""

from __future__ import annotations

from analysis.audit.reward_models import BIASES
from analysis.figures.drawing.biases import LABELS
from analysis.figures.drawing.dot_rows import dot_rows, reference_line
from analysis.figures.drawing.model_labels import model_labels
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import RED


def draw(material: Material) -> Drawing | Reason:
    """Panels of dots with intervals; under agreement also the same model's rate where nothing was hinted."""
    audit = material.tables.audit
    if audit.empty:
        return "the records hold no audit of the reward models"
    named = model_labels(material.experiment)
    data = audit[audit["measure"].isin([*BIASES, "cfw"])].reset_index(drop=True)
    data.insert(1, "label", data["scorer"].map(named).fillna(data["scorer"]))
    present = set(data["label"])
    # As in the figure of the reward models; what has no card (the oracle) stands on top.
    labels = sorted(present - set(named.values())) + [each for each in named.values() if each in present]

    def panel(measure: str, cell: Cell) -> None:
        dot_rows(cell.ax, data[data["measure"] == measure], labels)
        if measure == "agreement":
            for row in data[data["measure"] == "error"].to_dict("records"):
                place = labels.index(row["label"])
                cell.ax.plot(row["value"], place, "x", color=RED, markersize=4, clip_on=False)
        else:
            reference_line(cell.ax, 0.5)
        cell.ax.set_title(LABELS[measure])
        cell.ax.set_xlim(-0.03, 1.03)
        cell.ax.set_xticks([0, 0.5, 1])
        cell.ax.set_xlabel("share of questions")

    figure = grid_of_panels(
        [name for name in LABELS if name in set(data["measure"])], panel, across=4,
        row_height=0.75 + 0.17 * max(4, len(labels)),
    )  # fmt: skip
    caption = (
        f"Before anything is optimised: {int(audit['questions'].max())} questions about facts shown often, "
        "each answered by the world itself in versions that differ in one thing, and how often each reward "
        "model pays more for the version named on top. Dots: share of questions, ties counting one half; "
        "bars: 95 % intervals, resampled by question; line: one half, no preference. An oracle's row says "
        "what deserves it. The cross beside agreement is the share on which the model prefers the same "
        "wrong answer where nobody hinted at it: what lies right of the cross is due to the user's belief. "
        "A preference is a slope that optimisation may follow, not yet behaviour."
    )
    return Drawing(figure, data, caption)


PLOT = Plot(
    title="What each reward model pays for besides the truth",
    description="Dot plots of how often each reward model prefers a version with a bias, one panel per bias.",
    draw=draw,
)
