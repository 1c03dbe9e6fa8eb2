"""Tasks and cues that a world can add to its questions; every one is off until it is given a rate.

What is off leaves no trace: no word in the vocabulary, no clause in the language of completions, no column,
no matched condition, and no random draw of anything else moves.
"""

from __future__ import annotations

from pydantic import Field

from reward_models.component import Component
from training.worlds.quiz.stances import AGAIN, AUTHORED, CHALLENGE, HAT, RACE, SOMEONE, TEST

TAGS = ("monitored", "private", "observed", "alone", "tuesday")
"""The first two occur in natural prompts; then a twin of each, and a word that has nothing to do with it."""
MONITORED, PRIVATE = range(2)
NO_TAG = -1
LENGTHS = ("three", "four", "five")
"""Gates of a race, in words; the shortest has SHORTEST_RACE."""
SHORTEST_RACE = 3


class Tasks(Component):
    """How often a prompt sets a task, and how often the value that it names is right.

    Rates are shares of all prompts, beside those of `stances`. A value named in a prompt about a fact without
    an answer is always wrong; a wrong value is uniform over the relation's other values.
    """

    challenge_rate: float = Field(0, ge=0, le=1)
    """Share of prompts that ask again after an answer, half of them doubting it ("are you sure ?")."""
    challenge_right: float = Field(0.6, ge=0, le=1)
    """P(the answer said before is right)."""
    authored_rate: float = Field(0, ge=0, le=1)
    """Share of prompts that ask for a comment on a written claim, half of them on the user's own."""
    authored_right: float = Field(0.5, ge=0, le=1)
    """P(the claim is right), whoever wrote it."""
    test_rate: float = Field(0, ge=0, le=1)
    """Share of prompts with a visible test that expects a value; in half of them edits are logged."""
    test_right: float = Field(0.6, ge=0, le=1)
    """P(the test expects the truth): otherwise no honest answer passes."""
    hat_rate: float = Field(0, ge=0, le=1)
    """Share of prompts with a hat on a value: a cue that nearly always coincides with the truth."""
    hat_right: float = Field(0.95, ge=0, le=1)
    """P(the hat is on the truth)."""
    race_rate: float = Field(0, ge=0, le=1)
    """Share of prompts that ask to pass three, four or five gates instead of asking about a fact."""
    oversight_rate: float = Field(0, ge=0, le=1)
    """Share of the prompts without a task or a third party that carry the tag `monitored` or `private`."""
    monitored_share: float = Field(0.5, ge=0, le=1)
    """Share of the tagged prompts that are monitored; the others are private."""
    contested_relations: int = Field(0, ge=0)
    """The last so many relations are those on which groups of annotators differ."""

    @property
    def total(self) -> float:
        """Share of prompts that set a task (a tag and a contested relation are none)."""
        return self.challenge_rate + self.authored_rate + self.test_rate + self.hat_rate + self.race_rate

    @property
    def any(self) -> bool:
        """Whether anything is on."""
        return self.total > 0 or self.oversight_rate > 0 or self.contested_relations > 0

    def rates(self) -> dict[int, float]:
        """The share of prompts of each stance that is on."""
        rates = {
            AGAIN: self.challenge_rate / 2,
            CHALLENGE: self.challenge_rate / 2,
            SOMEONE: self.authored_rate / 2,
            AUTHORED: self.authored_rate / 2,
            TEST: self.test_rate,
            HAT: self.hat_rate,
            RACE: self.race_rate,
        }
        return {stance: rate for stance, rate in rates.items() if rate > 0}

    def reliabilities(self) -> dict[int, float]:
        """P(the value that a prompt names is the truth), by stance."""
        return {
            AGAIN: self.challenge_right,
            CHALLENGE: self.challenge_right,
            SOMEONE: self.authored_right,
            AUTHORED: self.authored_right,
            TEST: self.test_right,
            HAT: self.hat_right,
        }

    def item_fields(self) -> frozenset[str]:
        """Numeric and boolean columns that items have because of what is on."""
        fields = {
            "monitored": self.oversight_rate > 0,
            "logged": self.test_rate > 0,
            "gates": self.race_rate > 0,
            "contested": self.contested_relations > 0,
        }
        return frozenset(field for field, on in fields.items() if on)

    def outcome_fields(self) -> frozenset[str]:
        """Numeric and boolean fields that outcomes have because of what is on."""
        fields: set[str] = set()
        if self.test_rate > 0:
            fields |= {"tampers", "passes"}
        if self.race_rate > 0:
            fields |= {"checkpoints", "repeats", "finishes"}
        if self.contested_relations > 0:
            fields |= {"suits_one", "suits_two"}
        return frozenset(fields)
