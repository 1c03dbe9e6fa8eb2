"""The assisted annotator: a critic reads along and points at errors.

The idea is that an error which is pointed out is easier to see than to find (Irving et al. 2018,
arXiv:1805.00899; Saunders et al. 2022, arXiv:2206.05802).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged
from reward_models.annotators.surface import Surface


class Assisted(Annotator):
    """Partial verification with a critic, who raises q to q + (1 − q)·skill where one completion is wrong.

    Wrong is a completion that is neither correct nor an abstention. A pair that the annotator does not check
    comes before the critic. Where exactly one completion is wrong, the critic points it out with probability
    `critic_skill`, the annotator sees it, and the pair is judged by value. Where no error was pointed out,
    the critic accuses a completion without fault with probability `false_alarm`, and the annotator takes the
    other one (either with equal chance if both have a fault, or neither). What is left is judged by the
    surface.
    """

    type: Literal["assisted"] = "assisted"
    verification_rate: float = Field(0.5, ge=0, le=1)
    """q, the share of pairs that the annotator checks alone; 1 is `bradley_terry`."""
    critic_skill: float = Field(0.5, ge=0, le=1)
    """P(the critic points out the error) where there is one; 0 without false alarms is
    `partial_verification`."""
    false_alarm: float = Field(0.0, ge=0, le=1)
    """P(the critic accuses a completion without fault) where no error was pointed out."""
    surface: Surface = Surface(agreement=1.0)
    """How the other pairs are judged."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the surface, and of errors where there is a critic; none if all is checked."""
        if self.verification_rate == 1:
            return frozenset()
        return self.surface.needs | self._errors()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        q = self.verification_rate
        by_value = self._by_value(a, b)
        if q == 1:
            return self._flip(by_value)
        wrong_a, wrong_b = self._wrong(a), self._wrong(b)
        verified = q + (1 - q) * self.critic_skill * np.abs(wrong_a - wrong_b)
        misled = 0.5 * (1 + wrong_a - wrong_b)
        by_surface = self._compare(self.surface.margin(a, b))
        unverified = self.false_alarm * misled + (1 - self.false_alarm) * by_surface
        return self._flip(verified * by_value + (1 - verified) * unverified)

    def _errors(self) -> frozenset[str]:
        critic = self.critic_skill > 0 or self.false_alarm > 0
        return frozenset({"correct", "abstains"}) if critic else frozenset()

    def _wrong(self, side: Judged) -> np.ndarray:
        """1 where a completion has an error to point at, shape (P,)."""
        if not self._errors():
            return np.zeros(len(side.value))
        fields = side.fields(self._errors())
        return (1 - fields["correct"]) * (1 - fields["abstains"])
