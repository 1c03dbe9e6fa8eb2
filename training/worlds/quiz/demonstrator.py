"""The demonstrator: whom the reference policy learns to talk like, a mixture of skills and of styles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, model_validator

from reward_models.component import Component
from training.worlds.quiz.facts import NO_ANSWER, DrawnFacts
from training.worlds.quiz.grammar import FINISH, GATES, Reply
from training.worlds.quiz.prompt_table import Asked
from training.worlds.quiz.stances import (
    AUTHORED,
    CHALLENGE,
    HAT,
    JUDGED,
    OWN,
    RACE,
    SOMEONE,
    STANCES,
    TEST,
    THIRD_PARTY,
)

MOST_EVIDENCE, MOST_PRAISE = 3, 2
CLAIMS = (SOMEONE, AUTHORED)


class Demonstrator(Component):
    """Where a belief is stated, it may first of all be followed. Otherwise (and always in a neutral prompt)
    the demonstrator is correct, abstains, or guesses a value of the relation uniformly.

    Being correct means to state the truth, or "i do not know" where there is none. What is said about a fact
    depends on neither its exposure nor the style; style is drawn independently of skill, except that whether
    the user is told to be right depends on whether their belief is repeated.

    The same holds of tasks: the cue decides at the task's rate, and otherwise the demonstrator replies as if
    nothing had been added. Of a claim that somebody wrote, it says the truth or repeats it. Tags change
    nothing. Whether it says "yes" or "no" hangs on both fact and prompt, which small policies hardly learn:
    with high rates of `agree` and `contradict` they guess the verdict, and then state what fits it.
    """

    correct: float = Field(0.6, ge=0, le=1)
    """P(correct), if no belief is followed."""
    abstain: float = Field(0.1, ge=0, le=1)
    """P("i do not know" whatever the fact), if no belief is followed. The rest are guesses."""
    follow_user: float = Field(0.15, ge=0, le=1)
    """P(repeats the user's belief, right or wrong)."""
    follow_third_party: float = Field(0.1, ge=0, le=1)
    """P(repeats a third party's belief)."""
    bluff: float = Field(1.0, ge=0, le=1)
    """How much of its guessing and of its following is left where the fact has no answer; what is not, it
    abstains from. Near 0, inventions are rare but have support under π_ref."""

    yield_rate: float = Field(0.2, ge=0, le=1)
    """P(leaves the answer said before, for another value, when asked whether it is sure)."""
    criticise: float = Field(0.6, ge=0, le=1)
    """P(says the truth of what somebody wrote, which corrects a false claim); otherwise it repeats the claim,
    right or wrong."""
    hard_code: float = Field(0.1, ge=0, le=1)
    """P(states the value that a test expects, right or wrong)."""
    edit_test: float = Field(0.05, ge=0, le=1)
    """P(edits the test instead of answering)."""
    follow_hat: float = Field(0.1, ge=0, le=1)
    """P(states the value that the hat is on, right or wrong)."""
    extra_laps: float = Field(0.15, ge=0, lt=1)
    """P(a further lap before finishing a race), and after each P(another one), as far as there is room."""
    stop_early: float = Field(0.1, ge=0, le=1)
    """P(stops in the middle of the first lap)."""

    agree: float = Field(0.5, ge=0, le=1)
    """P(says "yes" or "you are right") where it states the stated belief, for whatever reason, or a value
    other than the one that is doubted."""
    empty_agreement: float = Field(0.1, ge=0, le=1)
    """P(says so) where it states something else, abstains, or there is no belief."""
    contradict: float = Field(0.3, ge=0, le=1)
    """P(says "no") where it states a value other than the stated belief, or knows no answer to a claim that
    somebody wrote, and has not agreed."""
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
        # What tasks alone draw comes from a stream of its own: nothing else moves when they are turned on.
        extra = rng.spawn(1)[0]
        tampers = (asked.stance == TEST) & (extra.random(count) < self.edit_test)
        acts = tampers | (asked.stance == RACE)
        stated = np.where(acts, -1, self._stated(asked, facts, rng, extra))
        answers, doubted = stated >= 0, asked.stance == CHALLENGE
        judged = np.isin(asked.stance, JUDGED)
        sides = judged & answers & ((stated == asked.value) != doubted)
        agrees = (rng.random(count) < np.where(sides, self.agree, self.empty_agreement)) & ~acts
        differs = judged & ~sides & ~doubted & (answers | np.isin(asked.stance, CLAIMS))
        contradicts = differs & ~agrees & (rng.random(count) < self.contradict)
        manner = rng.random(count)
        columns = (
            answers & (manner < self.confident),
            answers & (manner >= 1 - self.hedged),
            ~answers & ~acts,
            agrees,
            contradicts,
            _clauses(self.praise, MOST_PRAISE, count, rng),
            np.where(acts, 0, _clauses(self.evidence, MOST_EVIDENCE, count, rng)),
            tampers,
        )
        values = facts.value_names(asked.fact, stated)
        tracks = self._tracks(asked, longest, extra)
        rows = zip(values, *(column.tolist() for column in columns), tracks, strict=True)
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

    def _stated(
        self, asked: Asked, facts: DrawnFacts, rng: np.random.Generator, extra: np.random.Generator
    ) -> np.ndarray:
        """Index of the value that each reply states, −1 for "i do not know"; shape (P,)."""
        count, truth, values = len(asked.fact), facts.truth[asked.fact], facts.settings.values
        skill = rng.random(count)
        guess = rng.integers(values, size=count)
        # The truth of a fact without an answer is NO_ANSWER = −1: to be correct is then to abstain.
        sure = truth != NO_ANSWER
        keeps = sure | (rng.spawn(1)[0].random(count) < self.bluff)
        guess = np.where(keeps, guess, -1)
        unled = np.select([skill < self.correct, skill < self.correct + self.abstain], [truth, -1], guess)
        unled = np.where(np.isin(asked.stance, CLAIMS), truth, unled)
        rates = np.zeros(len(STANCES))
        rates[OWN], rates[THIRD_PARTY] = self.follow_user, self.follow_third_party
        rates[CHALLENGE], rates[TEST], rates[HAT] = self.yield_rate, self.hard_code, self.follow_hat
        rates[list(CLAIMS)] = 1 - self.criticise
        led = rng.random(count) < rates[asked.stance] * np.where(sure, 1.0, self.bluff)
        # Whoever leaves an answer gives the one that they would have given, if that is another value.
        another = (asked.value + 1 + extra.integers(values - 1, size=count)) % values
        left = np.where((unled >= 0) & (unled != asked.value), unled, another)
        return np.where(led, np.where(asked.stance == CHALLENGE, left, asked.value), unled)

    def _tracks(self, asked: Asked, longest: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
        """The gates and the finish that each reply says; empty but in races."""
        count = len(asked.fact)
        laps = 1 + _clauses(self.extra_laps, longest, count, rng)
        stops, part = rng.random(count) < self.stop_early, rng.random(count)
        tracks: list[tuple[str, ...]] = [()] * count
        for row in np.flatnonzero(asked.stance == RACE).tolist():
            lap = GATES[: asked.gates[row]]
            if stops[row]:
                tracks[row] = lap[: 1 + int(part[row] * (len(lap) - 1))]
            else:
                tracks[row] = (*lap * min(int(laps[row]), (longest - 1) // len(lap)), FINISH)
        return tracks


def _clauses(rate: float, most: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Geometric numbers of clauses, cut off at `most`."""
    return np.minimum(rng.geometric(1 - rate, size=count) - 1, most)
