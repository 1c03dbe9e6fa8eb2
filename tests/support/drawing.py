"""Figures drawn as a report draws them, with what must hold of every one of them."""

from __future__ import annotations

import warnings

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import FIGURES, Drawing, Material
from analysis.figures.drawing.style import paper_style


def drawn(name: str, material: Material) -> Drawing:
    """A figure that these records must allow."""
    with paper_style():
        drawing = FIGURES[name].draw(material)
    assert isinstance(drawing, Drawing), f"{name}: {drawing}"
    return drawing


def refused(name: str, material: Material) -> str:
    """Why there is no such figure: there must be none."""
    reason = FIGURES[name].draw(material)
    assert isinstance(reason, str), name
    return reason


def draw_soundly(name: str, material: Material, quantity: str = "value") -> tuple[Figure, pd.DataFrame]:
    """Draw a figure without a warning; it shows its data (column `quantity`), in no empty panel, on axes with
    names."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = drawn(name, material)
        figure, data = drawing.figure, drawing.data
        with paper_style():
            figure.draw_without_rendering()
    assert drawing.caption and "{" not in drawing.caption and "nan" not in drawing.caption.split()
    assert len(data) and data[quantity].notna().any()
    for ax in (each for each in figure.axes if each.get_visible()):
        assert ax.lines or ax.collections or ax.patches, "an empty panel"
    labels = [label for ax in figure.axes for label in (ax.get_xlabel(), ax.get_ylabel())]
    assert any(labels) and not any("_" in label.replace("_{", "") for label in labels)
    return figure, data
