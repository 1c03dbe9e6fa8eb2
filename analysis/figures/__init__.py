"""The figures: one file each, one line here. Material in; a drawing, or the reason for none, out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analysis.entries import Entries
from analysis.figures import (
    audits,
    budgets,
    contagion,
    emergence,
    equal_kl,
    forecast,
    frontier,
    gold_vs_proxy,
    goodhart,
    knowing,
    laws,
    ledger,
    methods,
    mitigation,
    predicted_behaviour,
    reward_models,
    spectrum,
    steps,
    sycophancy,
)
from analysis.figures.behaviours import figure
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import paper_style, save

FIGURES: Entries[Plot] = Entries(
    "figure",
    {
        "goodhart": goodhart.PLOT,
        "methods": methods.PLOT,
        "equal_kl": equal_kl.PLOT,
        "mitigation": mitigation.PLOT,
        "gold_vs_proxy": gold_vs_proxy.PLOT,
        "frontier": frontier.PLOT,
        "laws": laws.PLOT,
        "forecast": forecast.PLOT,
        "steps": steps.PLOT,
        "sycophancy": sycophancy.PLOT,
        "spectrum": spectrum.PLOT,
        "emergence": emergence.PLOT,
        "predicted_behaviour": predicted_behaviour.PLOT,
        "contagion": contagion.PLOT,
        "knowing": knowing.PLOT,
        "ledger": ledger.PLOT,
        "budgets": budgets.PLOT,
        "reward_models": reward_models.PLOT,
        "audits": audits.PLOT,
        **figure.PLOTS,
    },
)


@dataclass(frozen=True)
class Drawn:
    """A figure on disk, or the reason why there is none."""

    name: str
    plot: Plot
    stem: Path
    """``stem``.pdf, .svg, .png and .csv exist unless ``skipped`` is set."""
    caption: str = ""
    skipped: str | None = None


def draw_all(material: Material, folder: Path) -> list[Drawn]:
    """Draw every figure that these records allow into ``folder``; the others come back with their reason."""
    return list(_draw_each(material, folder))


def _draw_each(material: Material, folder: Path) -> Iterator[Drawn]:
    experiment = material.experiment
    commit = experiment.provenance.get("git_commit") or "unknown"
    dirty = " with uncommitted changes" if experiment.provenance.get("git_dirty") else ""
    provenance = (
        f"experiment {experiment.name}, git commit {commit}{dirty}, data in the .csv of the same name"
    )
    for name, plot in FIGURES.items():
        stem = folder / name
        with paper_style():
            drawing = plot.draw(material)
            if isinstance(drawing, Drawing):
                save(drawing.figure, drawing.data, stem, title=plot.title, provenance=provenance)
                yield Drawn(name, plot, stem, caption=drawing.caption)
            else:
                yield Drawn(name, plot, stem, skipped=drawing)


__all__ = ["FIGURES", "Drawing", "Drawn", "Material", "Plot", "Reason", "draw_all"]
