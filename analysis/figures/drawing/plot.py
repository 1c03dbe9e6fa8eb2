"""What a figure may draw from, what it gives, and what a registered figure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from analysis.records.experiment import Experiment
from analysis.tables.tables import Tables


@dataclass(frozen=True, eq=False)
class Material:
    """An experiment and the tables computed from it, once, for all figures; equal only to itself."""

    experiment: Experiment
    tables: Tables


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure and what goes with it."""

    figure: Figure
    data: pd.DataFrame
    """Exactly the numbers that are drawn."""
    caption: str
    """How to read it, with the number of seeds and prompts behind it."""


Reason = str
"""Why these records cannot give a figure, in words for a reader of the report."""


@dataclass(frozen=True)
class Plot:
    """One registered figure."""

    title: str
    """What one sees, in plain words; heads the figure in the report."""
    description: str
    """What is drawn against what: the alternative text, and the line in a list of figures."""
    draw: Callable[[Material], Drawing | Reason]
    """The drawing, or the reason for none."""
    section: str | None = None
    """Heading of the report under which it stands with its like; None: with the general ones."""
