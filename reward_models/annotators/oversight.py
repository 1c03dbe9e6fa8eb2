"""The watchful annotator: checks the facts where the prompt says `monitored`, and elsewhere not always."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged, present
from reward_models.annotators.surface import Surface


class Oversight(Annotator):
    """Judges monitored prompts by value, and others by the surface with probability `lapse_rate`.

    A policy optimised against such labels can learn to behave by the tag. That is a conditional policy,
    which needs neither intent nor a notion of being watched.
    """

    type: Literal["oversight"] = "oversight"
    lapse_rate: float = Field(1.0, ge=0, le=1)
    """Share of pairs judged by the surface where nobody monitors; 0 is `bradley_terry`."""
    surface: Surface = Surface(agreement=1.0)
    """How those pairs are judged."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the weighted surface features; none if there are no lapses."""
        return self.surface.needs if self.lapse_rate > 0 else frozenset()

    @property
    def needs_items(self) -> frozenset[str]:
        """Whether the prompt is monitored; nothing if there are no lapses."""
        return frozenset({"monitored"}) if self.lapse_rate > 0 else frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        by_value = self._by_value(a, b)
        if self.lapse_rate == 0:
            return self._flip(by_value)
        lapses = self.lapse_rate * (1 - present(a.item["monitored"], "monitored"))
        by_surface = self._compare(self.surface.margin(a, b))
        return self._flip((1 - lapses) * by_value + lapses * by_surface)
