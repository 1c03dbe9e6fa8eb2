"""The things a quiz is about, and what is true of them.

Names depend on the world's size alone, so that a completion can be read without knowing the seed; what is
true, known and answerable is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from pydantic import Field, model_validator

from reward_models.component import Component
from training.streams import stream
from training.worlds.quiz.grammar import FINISH

# A relation and the ending that its values share: a reader sees at once that "borton" is a capital.
RELATIONS = {
    "capital": "ton",
    "river": "wen",
    "king": "ric",
    "language": "ish",
    "mountain": "berg",
    "metal": "ite",
    "flower": "bell",
    "dance": "ella",
}
_STEMS = ["".join(letters) for letters in product("bdfgklmnprstvz", "aeiou", "lmnrst")]
_ENTITY_ENDINGS = ("an", "el", "ia", "or", "os")

EXPOSURES = ("known", "rare", "unseen")
NO_ANSWER = -1
"""Stands for the truth of a fact that has none."""


@dataclass(frozen=True)
class Lexicon:
    """The names of a world."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    """The values that each relation can take, relation by relation."""


@lru_cache(maxsize=8)
def lexicon(entities: int, relations: int, values: int) -> Lexicon:
    """Pronounceable made-up names, all different; those of a smaller world come first in a larger one."""
    rng = np.random.default_rng(stream(0, "quiz-names"))
    whole = [stem + ending for ending in _ENTITY_ENDINGS for stem in _STEMS]
    named = rng.permutation(whole)[:entities]
    sets = []
    for ending in RELATIONS.values():
        made_up = [f"{stem}{ending}" for stem in rng.permutation(_STEMS)]
        sets.append(tuple(value for value in made_up if value != FINISH)[:values])
    return Lexicon(tuple(map(str, named)), tuple(RELATIONS)[:relations], tuple(sets[:relations]))


class Facts(Component):
    """How many facts there are, and how well they can be known.

    The defaults are what a policy of 0.1 M parameters learns in some hundred steps of SFT; 60 entities with 3
    relations of 12 values stay at chance then, and need several times as much.
    """

    entities: int = Field(24, ge=2, le=400)
    """Things asked about."""
    relations: int = Field(2, ge=1, le=len(RELATIONS))
    """What is asked about each; entities × relations facts in all."""
    values: int = Field(8, ge=2, le=100)
    """Answers that a relation can have, each set its own."""
    unanswerable: float = Field(0.15, ge=0, lt=1)
    """Share of facts that have no answer: the honest reply is "i do not know"."""
    known: float = Field(0.7, gt=0, le=1)
    """Share of facts (answerable or not) that share the bulk of the demonstrations."""
    rare: float = Field(0.15, ge=0, le=1)
    """Share of facts that are demonstrated at most `rare_appearances` times; the rest are unseen."""
    rare_appearances: int = Field(2, ge=1)
    """A rare fact is demonstrated this many times or fewer, but at least once."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Facts:
        if self.known + self.rare > 1 + 1e-9:
            raise ValueError(f"known={self.known:g} and rare={self.rare:g} are shares: together at most 1")
        known, _ = self.seen()
        if known == 0:
            raise ValueError(f"known={self.known:g} of {self.count} facts is not a single fact; raise it")
        return self

    @property
    def count(self) -> int:
        """Number of facts."""
        return self.entities * self.relations

    @property
    def lexicon(self) -> Lexicon:
        """The names of all entities, relations and values."""
        return lexicon(self.entities, self.relations, self.values)

    def seen(self) -> tuple[int, int]:
        """Numbers of known and of rare facts."""
        known = round(self.known * self.count)
        return known, min(round(self.rare * self.count), self.count - known)

    def draw(self, rng: np.random.Generator) -> DrawnFacts:
        """What is true, and how often each fact will be demonstrated, with exact shares."""
        truth = rng.integers(self.values, size=self.count)
        truth[rng.permutation(self.count)[: round(self.unanswerable * self.count)]] = NO_ANSWER
        known, rare = self.seen()
        exposure = np.repeat([0, 1, 2], [known, rare, self.count - known - rare])
        return DrawnFacts(self, truth, rng.permutation(exposure))


@dataclass(frozen=True)
class DrawnFacts:
    """The facts of one built world; fact f asks for relation f % relations of entity f // relations."""

    settings: Facts
    truth: np.ndarray
    """Index into the relation's values, NO_ANSWER for none, shape (count,)."""
    exposure: np.ndarray
    """Index into EXPOSURES, shape (count,)."""

    @property
    def answerable(self) -> np.ndarray:
        """Whether each fact has an answer, shape (count,)."""
        return self.truth != NO_ANSWER

    def value_names(self, fact: np.ndarray, value: np.ndarray) -> list[str | None]:
        """The words for value indices (negative: None) of the given facts."""
        values, relations = self.settings.lexicon.values, self.settings.relations
        return [
            values[f % relations][v] if v >= 0 else None
            for f, v in zip(fact.tolist(), value.tolist(), strict=True)
        ]

    def wrong_values(self, fact: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A false value for each of the given facts, uniform over the relation's other values (over all of
        them where the fact has no answer), as an index; shape of `fact`."""
        truth, values = self.truth[fact], self.settings.values
        other = (truth + 1 + rng.integers(values - 1, size=len(fact))) % values
        return np.where(truth == NO_ANSWER, rng.integers(values, size=len(fact)), other)

    def appearances(self, demonstrations: int, rng: np.random.Generator) -> np.ndarray:
        """How often each fact is demonstrated, shape (count,), summing to `demonstrations`.

        Unseen: 0. Rare: uniform on 1…rare_appearances. Known: equal parts of the rest, up to one.
        """
        number = np.zeros(self.settings.count, dtype=int)
        rare = np.flatnonzero(self.exposure == EXPOSURES.index("rare"))
        number[rare] = rng.integers(1, self.settings.rare_appearances, size=len(rare), endpoint=True)
        known = rng.permutation(np.flatnonzero(self.exposure == EXPOSURES.index("known")))
        each, left = divmod(demonstrations - number.sum(), len(known))
        number[known] = each
        number[known[:left]] += 1
        return number
