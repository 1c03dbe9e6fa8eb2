"""The engaged reader: prefers, in part, what keeps people reading."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged, present
from reward_models.annotators.surface import Surface


class Engagement(Annotator):
    """Weighs what keeps people reading against what is true: P(a ≻ b) = sigmoid(((1 − w)·Δv + w·Δe)/T).

    Nobody fails to check anything here, as under `partial_verification`: truth is known and traded within
    each comparison. So a large enough gap in value always wins while w < 1. Flips come last.
    """

    type: Literal["engagement"] = "engagement"
    weight: float = Field(0.5, ge=0, le=1)
    """w, the weight of engagement; 0 is `bradley_terry`."""
    pull: Surface = Surface(length=0.1, praise=1.0, evidence=0.5)
    """What keeps people reading, in the unit of value (its judge's s.d.)."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of what keeps people reading; none at weight 0."""
        return self.pull.needs if self.weight > 0 else frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        margin = np.zeros(len(a.value))
        if self.weight < 1:
            margin += (1 - self.weight) * (present(a.value, "value") - present(b.value, "value"))
        if self.weight > 0:
            margin += self.weight * self.pull.margin(a, b)
        return self._flip(self._compare(margin))
