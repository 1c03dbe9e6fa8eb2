"""The hurried annotator: checks the facts sometimes, and otherwise judges a completion by its surface.

Surface judging where verification fails is how Sharma et al. (2023, arXiv:2310.13548, §4) explain preference
for sycophancy, and Wen et al. (2024, arXiv:2409.12822) the approval of confident wrong answers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged
from reward_models.annotators.surface import Surface


class PartialVerification(Annotator):
    """Verifies with probability q: P(a ≻ b) = q·sigmoid(Δv/T) + (1 − q)·sigmoid(Δs/T), before flips.

    Δv is the margin in value, Δs in surface worth. With q = 1 it is `bradley_terry` exactly;
    without any surface weight an unverified pair is a coin toss.
    """

    type: Literal["partial_verification"] = "partial_verification"
    verification_rate: float = Field(0.5, ge=0, le=1)
    """q, the share of pairs judged by value."""
    surface: Surface = Surface(agreement=1.0)
    """How the other pairs are judged."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the weighted surface features; none if everything is verified."""
        return self.surface.needs if self.verification_rate < 1 else frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        q = self.verification_rate
        probability = np.zeros(len(a.value))
        if q > 0:
            probability += q * self._by_value(a, b)
        if q < 1:
            probability += (1 - q) * self._compare(self.surface.margin(a, b))
        return self._flip(probability)
