"""The analysis of an experiment's records.

from analysis import load
points = load("runs/quickstart").points   # a pandas data frame, computed when asked for
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.tables.tables import Results


def load(folder: str | Path) -> Results:
    """The tables (`load(folder).points`), prompts and samples of the experiment in `folder`.

    Raises `RecordError` where there is none.
    """
    from analysis.tables import tables  # here: whoever imports a part of this package need not load pandas

    return tables.load(folder)
