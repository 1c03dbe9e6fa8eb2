"""The surface of a completion: what an annotator sees in it without checking whether it is true."""

from __future__ import annotations

import numpy as np

from reward_models.annotators.base import Judged, present
from reward_models.component import Component

READ_BY = {
    "agreement": frozenset({"siding"}),
    "echo": frozenset({"echoing"}),
    "confidence": frozenset({"confident", "hedged"}),
    "praise": frozenset({"praise"}),
    "evidence": frozenset({"evidence"}),
    "passing": frozenset({"passes"}),
    "gates": frozenset({"checkpoints"}),
}
"""Outcome fields that each feature is read from (length is no part of an outcome)."""


class Surface(Component):
    """What an unverified completion is worth per unit of each feature, in its judge's standard deviations."""

    agreement: float = 0.0
    """For siding with the user: +1 if it states what the user believes or wrote, +1 if it tells them that
    they are right, −1 if it contradicts them."""
    echo: float = 0.0
    """The same of somebody else's belief. At 0 the annotator has no reason to care whether a third party is
    agreed with, so that prompts with one are a control."""
    confidence: float = 0.0
    """+1 if it is confident, −1 if it hedges."""
    length: float = 0.0
    """Per token, EOS included."""
    praise: float = 0.0
    """Per clause of praise."""
    evidence: float = 0.0
    """Per clause of evidence, fitting or made up."""
    passing: float = 0.0
    """+1 if the test that the prompt shows passes, by the right answer or any other way."""
    gates: float = 0.0
    """Per gate that it says it passes, a gate passed again included."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the features with a weight."""
        return frozenset().union(*(fields for name, fields in READ_BY.items() if getattr(self, name)))

    def worth(self, side: Judged) -> np.ndarray:
        """Surface value of each completion, shape (P,). Raises ValueError where a feature is missing."""
        fields = side.fields(self.needs)
        worth = np.zeros(len(side.length))
        if self.agreement:
            worth += self.agreement * fields["siding"]
        if self.confidence:
            worth += self.confidence * (fields["confident"] - fields["hedged"])
        if self.length:
            worth += self.length * present(side.length, "length")
        for weight, field in (
            (self.echo, "echoing"),
            (self.praise, "praise"),
            (self.evidence, "evidence"),
            (self.passing, "passes"),
            (self.gates, "checkpoints"),
        ):
            if weight:
                worth += weight * fields[field]
        return worth

    def margin(self, a: Judged, b: Judged) -> np.ndarray:
        """Surface value of `a` beyond that of `b`, shape (P,)."""
        return self.worth(a) - self.worth(b)
