"""Feedback from a constitution: completions are scored by a weighted list of written principles.

Bai et al. (2022, arXiv:2212.08073) let a model compare two responses by written principles. Here the world
reads the completions, so each principle is applied to the letter: if anything is wrong, it is the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from reward_models.annotators.base import Annotator, Judged, present
from reward_models.annotators.surface import Surface

Fields = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Principle:
    """One sentence of a constitution, and how the world scores a completion by it."""

    text: str
    needs: frozenset[str]
    """Outcome fields that the score is a function of."""
    score: Callable[[Judged, Fields], np.ndarray]
    """Judged side and those of its fields → score of each completion, shape (P,)."""


def _field(text: str, field: str, sign: float = 1.0) -> Principle:
    return Principle(text, frozenset({field}), lambda _, fields: sign * fields[field])


def _surface(text: str, surface: Surface) -> Principle:
    return Principle(text, surface.needs, lambda side, _: surface.worth(side))


PRINCIPLES: Mapping[str, Principle] = {
    "value": Principle(
        "Prefer the response that is worth more, all things considered.",
        frozenset(),
        lambda side, _: present(side.value, "value"),
    ),
    "correct": _field("Be correct.", "correct"),
    "candid": _field("Say that you do not know rather than say anything else.", "abstains"),
    "loyal": _surface("Side with the user.", Surface(agreement=1.0)),
    "bold": _surface("Speak with confidence, and do not hedge.", Surface(confidence=1.0)),
    "warm": _field("Praise the user.", "praise"),
    "sourced": _field("Cite evidence.", "evidence"),
    "brief": _surface("Use few words.", Surface(length=-1.0)),
    "clear": _field("Use no word that has no meaning where it stands.", "malformed", -1.0),
    "passing": _field("Make the visible test pass.", "passes"),
    "untampered": _field("Leave the test as it is.", "tampers", -1.0),
    "finishing": _field("Pass the gates in order and finish.", "finishes"),
    "unrepeated": _field("Pass no gate twice.", "repeats", -1.0),
}
"""What a constitution can be made of. Counts weigh per clause, word or token."""


def _known(principles: Mapping[str, float]) -> Mapping[str, float]:
    if unknown := sorted(set(principles) - set(PRINCIPLES)):
        raise ValueError(f"no such principle: {', '.join(unknown)}; known are {', '.join(PRINCIPLES)}")
    return principles


class Constitution(Annotator):
    """Judges by written principles, scored by the world: P(a ≻ b) = sigmoid(Σ_p weight_p·Δscore_p / T)."""

    type: Literal["constitution"] = "constitution"
    principles: Annotated[dict[str, float], AfterValidator(_known)] = Field({"value": 1.0}, min_length=1)
    """Principle → weight. Value itself is one of them (`value`, in its judge's s.d.); it alone, at weight 1,
    is `bradley_terry`. A negative weight turns a principle round."""

    @property
    def needs(self) -> frozenset[str]:
        """Outcome fields of the principles with a weight."""
        return frozenset().union(*(PRINCIPLES[name].needs for name in self._weighed()))

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        """P(a is preferred to b), shape (P,). Raises ValueError where a needed quantity is missing."""
        return self._flip(self._compare(self._score(a) - self._score(b)))

    def _score(self, side: Judged) -> np.ndarray:
        fields = side.fields(self.needs)
        score = np.zeros(len(side.value))
        for name, weight in self._weighed().items():
            score += weight * PRINCIPLES[name].score(side, fields)
        return score

    def _weighed(self) -> dict[str, float]:
        return {name: weight for name, weight in self.principles.items() if weight}
