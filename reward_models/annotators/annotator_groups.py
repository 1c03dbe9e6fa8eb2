"""Two groups of annotators who want opposite things of the same contested prompts."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged, present


class AnnotatorGroups(Annotator):
    """Labels from two groups with opposed values: P(a ≻ b) = Σ_g share_g·sigmoid((Δv + w·Δsuits_g)/T).

    A label does not say whose it is. A Bradley–Terry model of such a mixture orders completions by their
    Borda count, the mean probability of being preferred over the others (Siththaranjan et al. 2023,
    arXiv:2312.08358), and not by mean utility: a small gain of many outweighs a large loss of few.
    """

    type: Literal["annotator_groups"] = "annotator_groups"
    weight: float = Field(1.0, ge=0)
    """w, what a completion that suits an annotator's group is worth beside its value (its judge's s.d.); 0 is
    `bradley_terry`."""
    share: float = Field(0.5, ge=0, le=1)
    """Share of labels given by group one."""

    @property
    def needs(self) -> frozenset[str]:
        """Whether a completion suits each group that is asked; none at weight 0."""
        return frozenset(group for group, share in self._groups() if share > 0 and self.weight > 0)

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        if self.weight == 0:
            return self._flip(self._by_value(a, b))
        value = present(a.value, "value") - present(b.value, "value")
        probability = np.zeros(len(value))
        suits_a, suits_b = a.fields(self.needs), b.fields(self.needs)
        for group, share in self._groups():
            if share > 0:
                probability += share * self._compare(value + self.weight * (suits_a[group] - suits_b[group]))
        return self._flip(probability)

    def _groups(self) -> tuple[tuple[str, float], tuple[str, float]]:
        """The outcome field in which a completion suits each group, and the group's share."""
        return ("suits_one", self.share), ("suits_two", 1 - self.share)
