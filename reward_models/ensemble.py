"""Several rewards asked as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reward_models.reward import Ids, Reward


@dataclass(frozen=True)
class Ensemble:
    """A `Reward` made of members: rewards of different networks have no common unit, so theirs are
    standardised on π_ref before they are combined."""

    members: Sequence[Reward]
    combine: Callable[[np.ndarray], np.ndarray]
    """From the members' standardised rewards, (members, sequences), to one for each sequence."""

    def score(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """Combined rewards in standard deviations of the members, shape (len(sequences),)."""
        return self.combine(np.stack([each.standardised(sequences, batch_size) for each in self.members]))

    def standardised(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """The same: where a member is standardised, the unit stands."""
        return self.score(sequences, batch_size)
