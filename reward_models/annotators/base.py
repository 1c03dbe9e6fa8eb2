"""What annotators share: the pair they look at, and how a margin becomes a probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from reward_models.component import Component


@dataclass(frozen=True)
class Judged:
    """One side of P pairs, as an annotator may see it. All arrays have shape (P,)."""

    value: np.ndarray
    """Gold score, standardised on π_ref: its unit is the standard deviation of gold there."""
    outcome: Mapping[str, np.ndarray]
    """Parsed fields as floats (0/1 for booleans); NaN where the world could not measure one."""
    length: np.ndarray
    """Completion tokens, EOS included."""


class Annotator(Component):
    """Turns two completions into P(first is preferred).

    Every annotator here is symmetric: `prefer(a, b) + prefer(b, a) == 1`.
    """

    temperature: float = Field(1.0, gt=0)
    """Softness of a comparison, in the unit of value: a margin of one temperature is preferred with
    probability 0.73. Small is sharp."""
    flip_rate: float = Field(0.0, ge=0, lt=0.5)
    """Share of labels that come out reversed whatever the completions: P becomes (1 − 2f)·P + f."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Outcome fields it judges by."""

    @abstractmethod
    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a quantity it needs is missing."""

    def _compare(self, margin: np.ndarray) -> np.ndarray:
        """Bradley and Terry (1952): the logistic function of margin / temperature.

        Written with tanh, which neither overflows nor breaks the symmetry of the two orders.
        """
        return 0.5 * (1.0 + np.tanh(margin / (2.0 * self.temperature)))

    def _flip(self, probability: np.ndarray) -> np.ndarray:
        return (1.0 - 2.0 * self.flip_rate) * probability + self.flip_rate


def present(quantity: np.ndarray, name: str) -> np.ndarray:
    """`quantity`, refused if any entry is missing: a gap is not a zero. Raises ValueError."""
    missing = np.isnan(quantity)
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        count = f"{missing.sum()} of {len(quantity)} are missing, the first in row {first}"
        raise ValueError(f"cannot judge by `{name}`: {count}")
    return quantity
