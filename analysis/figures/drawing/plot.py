"""What a figure may draw from, and what a registered figure is."""

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


@dataclass(frozen=True)
class Plot:
    """One registered figure. ``draw`` and ``caption`` are only called when ``lacks`` returns None."""

    title: str
    """What one sees, in plain words; heads the figure in the report."""
    description: str
    """What is drawn against what: the alternative text, and the line in a list of figures."""
    requirement: str
    """What the records must hold, for people: "needs an oracle", "needs nothing special"."""
    lacks: Callable[[Material], str | None]
    """Why these records cannot give this figure, or None when they can."""
    draw: Callable[[Material], tuple[Figure, pd.DataFrame]]
    """Material -> the figure and exactly the numbers drawn in it."""
    caption: Callable[[Material], str]
    """How to read it, with the number of seeds and prompts behind it."""
    section: str | None = None
    """Heading of the report under which it stands with its like; None: with the general ones."""
