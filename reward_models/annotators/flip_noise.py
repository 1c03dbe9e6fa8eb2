"""The careless annotator: sees the value, and reverses some of the labels at random."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.annotators.base import Annotator, Judged


class FlipNoise(Annotator):
    """Judges by value, and a share of the labels comes out reversed: the dose is `flip_rate`.

    Every annotator has this noise as a knob; here it is all there is. Noise without a direction pulls every
    probability towards ½ and can turn no preference round.
    """

    type: Literal["flip_noise"] = "flip_noise"
    flip_rate: float = Field(0.25, ge=0, le=0.5)
    """Share of labels that come out reversed whatever the completions; 0 is `bradley_terry`, and at ½
    the labels say nothing."""

    @property
    def needs(self) -> frozenset[str]:
        """None: it sees value alone."""
        return frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a value is missing."""
        return self._flip(self._by_value(a, b))
