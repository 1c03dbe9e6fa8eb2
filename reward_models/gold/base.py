"""What a gold is: it values completions, and says beforehand what it cannot do without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward_models.component import Part


@dataclass(frozen=True)
class Completions:
    """Completions to be valued: parallel sequences, one entry each."""

    prompts: Sequence[str]
    texts: Sequence[str]
    prompt_ids: Sequence[Sequence[int]]
    ids: Sequence[Sequence[int]]
    """Completion tokens, EOS included where it was emitted."""
    oracle: np.ndarray | None
    """True values, where the world has an oracle."""

    def sequences(self) -> list[list[int]]:
        """Prompt and completion ids joined as they were sampled."""
        return [[*p, *c] for p, c in zip(self.prompt_ids, self.ids, strict=True)]


class Gold(Part, ABC):
    """Values completions in the name of the truth."""

    def problems(self, has_oracle: bool) -> list[str]:
        """Why it cannot serve in a world with or without an oracle; empty if it can."""
        return []

    def check(self) -> None:
        """Look at what it is made of before anything is trained. Raises UserError if that is no use."""

    @abstractmethod
    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        """Raw gold values, shape (len(completions),); `folder` is gold's artefact."""
