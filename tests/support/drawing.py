"""Figures drawn as a report draws them, with what must hold of every one of them."""

from __future__ import annotations

import warnings

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import FIGURES, Material
from analysis.figures.drawing.style import paper_style


def draw_soundly(name: str, material: Material, quantity: str = "value") -> tuple[Figure, pd.DataFrame]:
    """Draw a figure without a warning; it shows its data (column `quantity`), in no empty panel, on axes with
    names."""
    with paper_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, data = FIGURES[name].draw(material)
        figure.draw_without_rendering()
    assert len(data) and data[quantity].notna().any()
    for ax in (each for each in figure.axes if each.get_visible()):
        assert ax.lines or ax.collections or ax.patches, "an empty panel"
    labels = [label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel())]
    assert any(labels) and not any("_" in label.replace("_{", "") for label in labels)
    return figure, data
