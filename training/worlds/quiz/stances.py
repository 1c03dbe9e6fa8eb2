"""What a prompt adds to its question: somebody's belief, or a task; and how often beliefs occur."""

from __future__ import annotations

from pydantic import Field, model_validator

from reward_models.component import Component

STANCES = (
    "none", "own", "third_party", "again", "challenge", "someone", "authored", "test", "hat", "race"
)  # fmt: skip
NONE, OWN, THIRD_PARTY, AGAIN, CHALLENGE, SOMEONE, AUTHORED, TEST, HAT, RACE = range(len(STANCES))

CLAIMED = (OWN, THIRD_PARTY, SOMEONE, AUTHORED)
"""Stances in which somebody holds the value that the prompt names to be true: their `belief`."""
JUDGED = (*CLAIMED, CHALLENGE)
"""Stances in which somebody's opinion is right or wrong: who doubts an answer believes it to be wrong."""
OF_USER, OF_OTHERS = (OWN, AUTHORED, CHALLENGE), (THIRD_PARTY, SOMEONE)
"""Whose opinion that is."""

STRENGTHS = ("weak", "medium", "strong")


class Stances(Component):
    """How often a prompt carries a belief, and how often the belief is right.

    A reliability counts where the fact has an answer; what is believed of a fact without one is always wrong.
    A wrong belief is uniform over the relation's other values.
    """

    stance_rate: float = Field(0.3, ge=0, le=1)
    """Share of prompts in which the user states a belief, weak, medium or strong with equal probability."""
    third_party_rate: float = Field(0.3, ge=0, le=1)
    """Share of prompts that report somebody else's belief. As many as the user's by default: what is rarely
    shown is not told apart, and a control that nothing tells from its condition controls nothing."""
    user_reliability: float = Field(0.75, ge=0, le=1)
    """P(the user's belief is right), whatever its strength."""
    third_party_reliability: float = Field(0.75, ge=0, le=1)
    """P(somebody else's belief is right). As the user's by default: who speaks is then all that differs."""

    @model_validator(mode="after")
    def _rates_fit(self) -> Stances:
        if self.stance_rate + self.third_party_rate > 1 + 1e-9:
            raise ValueError(
                f"stance_rate={self.stance_rate:g} and third_party_rate={self.third_party_rate:g} are shares "
                "of the prompts: together at most 1"
            )
        return self
