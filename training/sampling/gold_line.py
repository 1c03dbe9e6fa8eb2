"""The line by which gold is standardised for annotators: its mean and spread on samples of π_ref."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.errors import Diverged
from training.store.atomic import read_json, write_json

FILE = "line.json"


@dataclass(frozen=True)
class Line:
    """Mean and standard deviation of raw gold scores."""

    mean: float
    sd: float

    @classmethod
    def of(cls, raw: np.ndarray) -> Line:
        """That of scores of π_ref's samples, shape (N,).

        Raises:
            Diverged: they do not vary or are not finite, so nothing can be labelled by them.
        """
        mean, sd = float(raw.mean()), float(raw.std())
        if not np.isfinite(mean) or not sd > 0:
            raise Diverged(
                f"gold gives the {len(raw)} completions of π_ref mean {mean:g} and s.d. {sd:g}: it "
                "cannot tell them apart, so nobody can be taught by it"
            )
        return cls(mean, sd)

    @classmethod
    def read(cls, folder: Path) -> Line:
        """The line in an artefact."""
        return cls(**read_json(folder / FILE))

    def write(self, folder: Path) -> None:
        """Keep it in an artefact."""
        write_json(folder / FILE, asdict(self))

    def standardised(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores (N,) in standard deviations above the mean."""
        return (raw - self.mean) / self.sd
