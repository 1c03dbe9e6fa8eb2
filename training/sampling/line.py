"""The line by which a judge's values are standardised for annotators: mean and spread on samples of π_ref."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reward_models.calibration import require_scale
from training.store.atomic import read_json, write_json

FILE = "line.json"


@dataclass(frozen=True)
class Line:
    """Mean and standard deviation of raw values."""

    mean: float
    sd: float

    @classmethod
    def of(cls, judge: str, raw: np.ndarray) -> Line:
        """That of a judge's values of π_ref's samples, shape (N,).

        Raises:
            Diverged: they do not vary or are not finite: nothing could be labelled by them.
        """
        require_scale(judge, raw)
        return cls(float(raw.mean()), float(raw.std()))

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
