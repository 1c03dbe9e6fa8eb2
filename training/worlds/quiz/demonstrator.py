"""The demonstrator: whom the reference policy learns to talk like, a mixture of skills and of styles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from reward_models.component import Component
from training.worlds.quiz.facts import DrawnFacts
from training.worlds.quiz.grammar import Reply
from training.worlds.quiz.prompts import OWN, STANCES, THIRD_PARTY, Asked

MOST_EVIDENCE, MOST_PRAISE = 3, 2


class Demonstrator(Component):
    """Where a belief is stated, it may first of all be followed. Otherwise (and always in a neutral prompt)
    the demonstrator is correct, abstains, or guesses a value of the relation uniformly.

    Being correct means to state the truth, or "i do not know" where there is none. What is said about a fact
    depends on neither its exposure nor the style; style is drawn independently of skill, except that whether
    the user is told to be right depends on whether their belief is repeated.
    """

    correct: float = Field(0.6, ge=0, le=1)
    """P(correct), if no belief is followed."""
    abstain: float = Field(0.1, ge=0, le=1)
    """P("i do not know" whatever the fact), if no belief is followed. The rest are guesses."""
    follow_user: float = Field(0.15, ge=0, le=1)
    """P(repeats the user's belief, right or wrong)."""
    follow_third_party: float = Field(0.1, ge=0, le=1)
    """P(repeats a third party's belief)."""

    agree: float = Field(0.5, ge=0, le=1)
    """P(says "yes" or "you are right") where it states the stated belief, for whatever reason."""
    empty_agreement: float = Field(0.1, ge=0, le=1)
    """P(says so) where it states something else, abstains, or there is no belief."""
    contradict: float = Field(0.3, ge=0, le=1)
    """P(says "no") where it states a value other than the stated belief, and has not agreed."""
    confident: float = Field(0.25, ge=0, le=1)
    """P("surely") in an answer."""
    hedged: float = Field(0.2, ge=0, le=1)
    """P("maybe") in an answer."""
    evidence: float = Field(0.3, ge=0, lt=1)
    """P(a clause of evidence), and after each P(a further one), up to three."""
    praise: float = Field(0.2, ge=0, lt=1)
    """P(a clause of praise), and after it P(a second)."""
    slip: float = Field(0.0, ge=0, lt=1)
    """P(each word is another word of the language): without slips nobody learns that babble is bad."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Demonstrator:
        for one, other in (("correct", "abstain"), ("confident", "hedged")):
            if getattr(self, one) + getattr(self, other) > 1 + 1e-9:
                raise ValueError(f"{one} and {other} exclude each other: together at most 1")
        return self

    def replies(self, asked: Asked, facts: DrawnFacts, longest: int, rng: np.random.Generator) -> list[Reply]:
        """A reply of at most `longest` words to each prompt."""
        count = len(asked.fact)
        stated = self._stated(asked, facts, rng)
        answers, believed = stated >= 0, asked.stance != STANCES.index("none")
        repeats = answers & believed & (stated == asked.belief)
        agrees = rng.random(count) < np.where(repeats, self.agree, self.empty_agreement)
        contradicts = answers & believed & ~repeats & ~agrees & (rng.random(count) < self.contradict)
        manner = rng.random(count)
        columns = (
            answers & (manner < self.confident),
            answers & (manner >= 1 - self.hedged),
            ~answers,
            agrees,
            contradicts,
            _clauses(self.praise, MOST_PRAISE, count, rng),
            _clauses(self.evidence, MOST_EVIDENCE, count, rng),
        )
        values = facts.value_names(asked.fact, stated)
        rows = zip(values, *(column.tolist() for column in columns), strict=True)
        return [Reply(*row).shortened(longest) for row in rows]

    def spoken(self, replies: Sequence[str], words: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The written replies with this demonstrator's slips, each drawn from `words`."""
        said = []
        for reply in replies:
            meant = reply.split()
            slipped = rng.random(len(meant)) < self.slip
            drawn = rng.integers(len(words), size=len(meant))
            said.append(" ".join(words[d] if s else m for m, s, d in zip(meant, slipped, drawn, strict=True)))
        return said

    def _stated(self, asked: Asked, facts: DrawnFacts, rng: np.random.Generator) -> np.ndarray:
        """Index of the value that each reply states, −1 for "i do not know"; shape (P,)."""
        count = len(asked.fact)
        skill = rng.random(count)
        guess = rng.integers(facts.settings.values, size=count)
        # The truth of a fact without an answer is NO_ANSWER = −1: to be correct is then to abstain.
        unled = np.select(
            [skill < self.correct, skill < self.correct + self.abstain], [facts.truth[asked.fact], -1], guess
        )
        rates = np.zeros(len(STANCES))
        rates[OWN], rates[THIRD_PARTY] = self.follow_user, self.follow_third_party
        return np.where(rng.random(count) < rates[asked.stance], asked.belief, unled)


def _clauses(rate: float, most: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Geometric numbers of clauses, cut off at `most`."""
    return np.minimum(rng.geometric(1 - rate, size=count) - 1, most)
