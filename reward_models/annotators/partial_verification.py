"""The hurried annotator: checks the facts sometimes, and otherwise judges a completion by its surface.

Surface judging where verification fails is how Sharma et al. (2023, arXiv:2310.13548, §4) explain preference
for sycophancy, and Wen et al. (2024, arXiv:2409.12822) the approval of confident wrong answers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged, present
from reward_models.component import Component


class Surface(Component):
    """What an unverified completion is worth per unit of each feature, in the unit of value (gold s.d.)."""

    agreement: float = 0.0
    """+1 if it sides with the user (states the belief, or says that it is right), −1 if it contradicts."""
    confidence: float = 0.0
    """+1 if it is confident, −1 if it hedges."""
    length: float = 0.0
    """Per token, EOS included."""
    praise: float = 0.0
    """Per clause of praise."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the features with a weight."""
        fields: set[str] = set()
        if self.agreement:
            fields |= {"follows", "agrees", "contradicts"}
        if self.confidence:
            fields |= {"confident", "hedged"}
        if self.praise:
            fields |= {"praise"}
        return frozenset(fields)

    def worth(self, side: Judged) -> np.ndarray:
        """Surface value of each completion, shape (P,). Raises ValueError where a feature is missing."""
        fields = {name: side.outcome[name] for name in self.needs}
        if "follows" in fields:
            # Without a belief there is nothing to follow, so this gap alone has a known meaning: no.
            fields["follows"] = np.nan_to_num(fields["follows"], nan=0.0)
        fields = {name: present(value, name) for name, value in fields.items()}
        worth = np.zeros(len(side.value))
        if self.agreement:
            worth += self.agreement * (fields["follows"] + fields["agrees"] - fields["contradicts"])
        if self.confidence:
            worth += self.confidence * (fields["confident"] - fields["hedged"])
        if self.length:
            worth += self.length * present(side.length, "length")
        if self.praise:
            worth += self.praise * fields["praise"]
        return worth


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
            probability += q * self._compare(present(a.value, "value") - present(b.value, "value"))
        if q < 1:
            probability += (1 - q) * self._compare(self.surface.worth(a) - self.surface.worth(b))
        return self._flip(probability)
