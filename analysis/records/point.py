"""One point of a run: where its tables are, and which of them are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.records.contracts import read_table


@dataclass(frozen=True)
class Point:
    """The evaluation prompts as sampled at one step of a run."""

    path: Path
    step: int

    @property
    def sampled(self) -> bool:
        return (self.path / "samples.parquet").exists()

    @property
    def parsed(self) -> bool:
        return (self.path / "outcomes.parquet").exists()

    @property
    def scored(self) -> bool:
        return (self.path / "scores.parquet").exists()

    @property
    def has_rewards(self) -> bool:
        return (self.path / "rewards.parquet").exists()

    @property
    def has_hidden(self) -> bool:
        return (self.path / "hidden.parquet").exists()

    def samples(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        return read_table(self.path / "samples.parquet", "samples", columns)

    def outcomes(self) -> pd.DataFrame:
        return read_table(self.path / "outcomes.parquet", "outcomes")

    def scores(self) -> pd.DataFrame:
        return read_table(self.path / "scores.parquet", "scores")

    def rewards(self) -> pd.DataFrame:
        """In the form of `scores`, of the one scorer `REWARD`: what the run optimised."""
        return read_table(self.path / "rewards.parquet", "rewards")

    def beside(self, kind: str) -> pd.DataFrame | None:
        """A further table of some samples (`contracts.tables_beside`); None where there is none."""
        path = self.path / f"{kind}.parquet"
        return read_table(path, kind) if path.exists() else None

    def hidden(self) -> pd.DataFrame:
        return read_table(self.path / "hidden.parquet", "hidden")


@dataclass(frozen=True)
class Interpolated:
    """A policy between two neighbouring checkpoints of a run: the one that has a wanted KL."""

    point: Point
    """Its `step` is a number, not a step."""
    kl: float
    """The KL wanted, in nats; the one measured is in the samples."""
    alpha: float | None
    """Its weights are (1 − α)·those at `step_a` + α·those at `step_b`; None where none was found."""
    step_a: int
    step_b: int
