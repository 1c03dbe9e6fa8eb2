"""Which texts say that they do not know."""

from __future__ import annotations

import pytest

from training.worlds.text.abstention import ABSTENTIONS
from training.worlds.text.world import TextWorld

PARSER = TextWorld(path="any.jsonl")


@pytest.mark.parametrize(
    ("completion", "abstains"),
    [
        (" I don't know.", True),
        (" I’M NOT SURE. It may be Paris.", True),
        (" Sorry, I cannot answer that question!", True),
        (" I'm not sure, but I think it is Paris.", False),
        (" I don't know but it may be Paris.", False),
        (" It is Paris. I don't know more than that.", False),
        (" It is Paris.\nI have no comment", False),
        (" Wii don't know.", False),
        ("", False),
    ],
)
def test_the_first_sentence_decides_and_a_hedge_is_no_abstention(completion: str, abstains: bool) -> None:
    assert PARSER.parse({}, completion, True, 9)["abstains"] is abstains


@pytest.mark.parametrize("phrase", ABSTENTIONS)
def test_every_listed_phrase_counts(phrase: str) -> None:
    assert PARSER.parse({}, f"Well, {phrase.capitalize()} what it is.", True, 9)["abstains"] is True
