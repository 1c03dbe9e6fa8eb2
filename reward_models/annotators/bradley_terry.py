"""The clean annotator: noise that depends on the value margin, and nothing else."""

from __future__ import annotations

from typing import Literal

import numpy as np

from reward_models.annotators.base import Annotator, Judged


class BradleyTerry(Annotator):
    """Prefers the more valuable completion: P(a ≻ b) = (1 − 2f)·sigmoid((v_a − v_b)/T) + f."""

    type: Literal["bradley_terry"] = "bradley_terry"

    @property
    def needs(self) -> frozenset[str]:
        """None: it sees value alone."""
        return frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a value is missing."""
        return self._flip(self._by_value(a, b))
