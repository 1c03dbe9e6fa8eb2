"""Facts: names, shares, and how often each fact is shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.worlds.quiz.facts import EXPOSURES, NO_ANSWER, RELATIONS, Facts, lexicon
from training.worlds.quiz.grammar import Reader
from training.worlds.quiz.tasks import Tasks
from training.worlds.quiz.wording import words

FACTS = {"entities": 60, "relations": 3, "values": 12}


def test_every_name_is_one_word_of_its_own() -> None:
    """Names collide neither with each other nor with the words of questions and answers."""
    names = lexicon(400, len(RELATIONS), 100)
    made_up = [*names.entities, *(value for values in names.values for value in values)]
    assert len(names.entities) == 400 and {len(values) for values in names.values} == {100}
    assert len(set(made_up)) == len(made_up)
    nameless = lexicon(0, len(RELATIONS), 0)
    everything = Tasks(
        challenge_rate=0.1, authored_rate=0.1, test_rate=0.1, hat_rate=0.1, race_rate=0.1, oversight_rate=0.1
    )
    function_words = {
        *words(nameless, everything),
        *Reader([], True, True).words(),
        "it",
        "is",
        "surely",
        "maybe",
    }
    assert not function_words & set(made_up)


def test_a_larger_world_keeps_the_names_of_a_smaller_one() -> None:
    small, large = lexicon(10, 2, 5), lexicon(60, 3, 12)
    assert large.entities[:10] == small.entities
    assert large.values[1][:5] == small.values[1]


@pytest.mark.parametrize(("known", "rare"), [(0.7, 0.15), (1.0, 0.0), (0.2, 0.8)])
def test_shares_are_exact(known: float, rare: float) -> None:
    facts = Facts(**FACTS, known=known, rare=rare, unanswerable=0.25)
    drawn = facts.draw(np.random.default_rng(0))
    assert (~drawn.answerable).sum() == 0.25 * facts.count
    shares = np.bincount(drawn.exposure, minlength=3) / facts.count
    np.testing.assert_allclose(shares, [known, rare, 1 - known - rare], atol=1e-9)


@given(demonstrations=st.integers(400, 5_000), seed=st.integers(0, 50))
def test_appearances_follow_exposure_exactly(demonstrations: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = Facts(**FACTS, rare_appearances=3).draw(rng)
    number = drawn.appearances(demonstrations, rng)
    by_exposure = {name: number[drawn.exposure == i] for i, name in enumerate(EXPOSURES)}
    assert number.sum() == demonstrations
    assert (by_exposure["unseen"] == 0).all()
    assert set(by_exposure["rare"]) <= {1, 2, 3}
    assert np.ptp(by_exposure["known"]) <= 1


def test_wrong_values_are_wrong_and_uniform() -> None:
    drawn = Facts(entities=2, relations=1, values=4, unanswerable=0.5).draw(np.random.default_rng(1))
    for fact, truth in enumerate(drawn.truth):
        wrong = drawn.wrong_values(np.full(20_000, fact), np.random.default_rng(2))
        possible = [v for v in range(4) if v != truth]
        counts = np.bincount(wrong, minlength=4)
        assert counts.sum() == counts[possible].sum()
        np.testing.assert_allclose(counts[possible] / 20_000, 1 / len(possible), atol=0.015)


def test_value_names_belong_to_the_relation() -> None:
    facts = Facts(entities=3, relations=2, values=4)
    drawn = facts.draw(np.random.default_rng(0))
    assert drawn.value_names(np.array([0, 1, 5]), np.array([2, 2, NO_ANSWER])) == [
        facts.lexicon.values[0][2],
        facts.lexicon.values[1][2],
        None,
    ]


@pytest.mark.parametrize("settings", [{"known": 0.8, "rare": 0.3}, {"known": 0.001}, {"values": 1}])
def test_impossible_shares_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Facts.model_validate(settings)
