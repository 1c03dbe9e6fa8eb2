"""What annotators share: the pair they look at, and how a margin becomes a probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.component import Part

MAY_NOT_APPLY = frozenset({"correct", "siding", "echoing", "passes", "finishes"})
"""Outcome fields that mean nothing for some prompts. There the gap has a known meaning, no: nothing to be
right about, nobody to side with, no test to pass, no race to finish."""


@dataclass(frozen=True)
class Judged:
    """One side of P pairs, as an annotator may see it. All arrays have shape (P,)."""

    value: np.ndarray
    """By the judge (`Annotator.judges`), in its standard deviations on π_ref."""
    outcome: Mapping[str, np.ndarray]
    """Parsed fields as floats (0/1 for booleans); NaN where the world could not measure one."""
    length: np.ndarray
    """Completion tokens, EOS included."""
    item: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Columns of the prompt's item as floats, the same for both sides."""

    def fields(self, names: frozenset[str]) -> dict[str, np.ndarray]:
        """Parsed fields, 0 where one does not apply. Raises ValueError where one is missing."""
        return {
            name: present(np.nan_to_num(value, nan=0.0) if name in MAY_NOT_APPLY else value, name)
            for name, value in ((name, self.outcome[name]) for name in sorted(names))
        }


class Annotator(Part):
    """Turns two completions into P(first is preferred).

    Every annotator here is symmetric: `prefer(a, b) + prefer(b, a) == 1`.
    """

    judges: Literal["oracle", "gold"] | None = None
    """Whose value it knows: the oracle's, or gold's, which then judges what it has taught. Default: the
    oracle's, in a world that has one."""
    temperature: float = Field(1.0, ge=0)
    """Softness of a comparison, in the unit of value: a margin of one temperature is preferred with
    probability 0.73. Small is sharp; at 0 the larger value wins, and equal ones toss a coin."""
    flip_rate: float = Field(0.0, ge=0, le=0.5)
    """Share of labels that come out reversed whatever the completions: P becomes (1 − 2f)·P + f.
    At ½ they say nothing."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Outcome fields it judges by."""

    @property
    def needs_items(self) -> frozenset[str]:
        """Item columns it judges by."""
        return frozenset()

    @abstractmethod
    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a quantity it needs is missing."""

    def judge(self, has_oracle: bool) -> Literal["oracle", "gold"]:
        """`judges`, or its default in a world with or without an oracle."""
        return self.judges or ("oracle" if has_oracle else "gold")

    def _compare(self, margin: np.ndarray) -> np.ndarray:
        """Bradley and Terry (1952): the logistic function of margin / temperature.

        Written with tanh, which neither overflows nor breaks the symmetry of the two orders.
        """
        if self.temperature == 0:
            return 0.5 * (1.0 + np.sign(margin))
        return 0.5 * (1.0 + np.tanh(margin / (2.0 * self.temperature)))

    def _by_value(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b) of an annotator who knows both values, before flips."""
        return self._compare(present(a.value, "value") - present(b.value, "value"))

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
