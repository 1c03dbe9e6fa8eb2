"""Annotators: whom they prefer, by how much, and what they refuse to judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from reward_models.annotators import AnyAnnotator, BradleyTerry, PartialVerification, Surface
from reward_models.annotators.base import Annotator, Judged

FIELDS = ("follows", "agrees", "contradicts", "confident", "hedged", "praise")
EVERY_SURFACE = Surface(agreement=0.7, confidence=0.5, length=0.1, praise=-0.3)


def judged(value: Any = 0.0, length: Any = 8.0, **outcome: Any) -> Judged:
    columns = {name: np.atleast_1d(np.asarray(outcome.get(name, 0.0), float)) for name in FIELDS}
    value = np.atleast_1d(np.asarray(value, float))
    return Judged(value, columns, np.broadcast_to(np.asarray(length, float), value.shape))


def random_side(rng: np.random.Generator, count: int = 50) -> Judged:
    return Judged(
        value=rng.normal(size=count) * 3,
        outcome={name: rng.integers(2, size=count).astype(float) for name in FIELDS},
        length=rng.integers(1, 20, size=count).astype(float),
    )


def prefers(annotator: Annotator, a: Judged, b: Judged) -> float:
    return float(annotator.prefer(a, b)[0])


def test_bradley_terry_is_the_logistic_of_the_margin_with_flips() -> None:
    annotator = BradleyTerry(temperature=0.5, flip_rate=0.1)
    margin = np.array([-1.0, 0.0, 2.0])
    expected = 0.8 / (1 + np.exp(-margin / 0.5)) + 0.1
    np.testing.assert_allclose(annotator.prefer(judged(margin), judged(np.zeros(3))), expected, rtol=1e-12)


@given(
    q=st.floats(0, 1), temperature=st.floats(0.01, 10), flip_rate=st.floats(0, 0.49), seed=st.integers(0, 99)
)
def test_the_two_orders_sum_to_one(q: float, temperature: float, flip_rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_side(rng), random_side(rng)
    for annotator in (
        BradleyTerry(temperature=temperature, flip_rate=flip_rate),
        PartialVerification(
            verification_rate=q, temperature=temperature, flip_rate=flip_rate, surface=EVERY_SURFACE
        ),
    ):
        forward = annotator.prefer(a, b)
        np.testing.assert_allclose(forward + annotator.prefer(b, a), 1.0, atol=1e-12)
        assert ((flip_rate - 1e-12 <= forward) & (forward <= 1 - flip_rate + 1e-12)).all()


def test_full_verification_is_bradley_terry_exactly() -> None:
    rng = np.random.default_rng(0)
    a, b = random_side(rng), random_side(rng)
    settings = {"temperature": 0.7, "flip_rate": 0.05}
    dosed = PartialVerification(verification_rate=1.0, surface=EVERY_SURFACE, **settings)
    np.testing.assert_array_equal(dosed.prefer(a, b), BradleyTerry(**settings).prefer(a, b))
    assert dosed.needs == frozenset()


def test_without_surface_weights_an_unverified_pair_is_a_coin_toss() -> None:
    blind = PartialVerification(verification_rate=0.0, surface=Surface())
    assert prefers(blind, judged(5.0, praise=2), judged(-5.0)) == 0.5


@pytest.mark.parametrize(
    ("weights", "liked", "disliked"),
    [
        ({"agreement": 1.0}, {"follows": 1}, {"follows": 0}),
        ({"agreement": 1.0}, {"agrees": 1}, {"contradicts": 1}),
        ({"confidence": 1.0}, {"confident": 1}, {"hedged": 1}),
        ({"length": 0.2}, {"length": 15}, {"length": 5}),
        ({"praise": 1.0}, {"praise": 2}, {"praise": 0}),
    ],
)
def test_the_weighted_surface_wins_against_the_truth(weights: Any, liked: Any, disliked: Any) -> None:
    """The tilt: unverified labels point to the surface even where value points the other way, and a negative
    weight reverses them."""
    a, b = judged(-1.0, **liked), judged(1.0, **disliked)
    careless = PartialVerification(verification_rate=0.0, surface=Surface(**weights))
    averse = PartialVerification(
        verification_rate=0.0, surface=Surface(**{name: -weight for name, weight in weights.items()})
    )
    assert prefers(careless, a, b) > 0.5 > prefers(averse, a, b)
    assert prefers(BradleyTerry(), a, b) < 0.5


def test_following_and_saying_so_count_one_each() -> None:
    annotator = PartialVerification(verification_rate=0.0, surface=Surface(agreement=1.0))
    both, one, none = judged(follows=1, agrees=1), judged(follows=1), judged()
    assert annotator.prefer(both, one) == annotator.prefer(one, none)
    assert annotator.prefer(both, one) > 0.5


def test_preference_interpolates_in_the_verification_rate() -> None:
    """A right contradiction against a wrong agreement: the mixture is linear in q."""
    honest, flattering = judged(1.0, contradicts=1), judged(-1.0, follows=1)
    at = [prefers(PartialVerification(verification_rate=q), honest, flattering) for q in (0.0, 0.25, 1.0)]
    assert at[0] < 0.5 < at[2]
    assert at[1] == pytest.approx(0.75 * at[0] + 0.25 * at[2])


def test_only_a_missing_belief_counts_as_not_following() -> None:
    annotator = PartialVerification(verification_rate=0.0, surface=Surface(agreement=1.0))
    assert prefers(annotator, judged(follows=np.nan), judged(follows=0)) == 0.5
    with pytest.raises(ValueError, match="`agrees`"):
        annotator.prefer(judged(agrees=np.nan), judged())


def test_a_missing_value_or_length_is_refused() -> None:
    with pytest.raises(ValueError, match="`value`.*row 1"):
        BradleyTerry().prefer(judged([0.0, np.nan]), judged([0.0, 0.0]))
    lengthy = PartialVerification(verification_rate=0.0, surface=Surface(length=1.0))
    with pytest.raises(ValueError, match="`length`"):
        lengthy.prefer(judged(), judged(length=np.nan))


def test_what_is_not_weighed_is_not_needed() -> None:
    """An annotator can serve a world that lacks the fields it does not use."""
    annotator = PartialVerification(verification_rate=0.0, surface=Surface(length=1.0))
    bare = Judged(np.zeros(1), {}, np.ones(1))
    assert annotator.needs == frozenset()
    assert annotator.prefer(bare, bare) == [0.5]
    assert PartialVerification(surface=EVERY_SURFACE).needs == frozenset(FIELDS)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "bradley_terry", "temperature": 0.0},
        {"type": "bradley_terry", "flip_rate": 0.5},
        {"type": "partial_verification", "verification_rate": 1.1},
        {"type": "partial_verification", "surface": {"honesty": 1.0}},
    ],
)
def test_meaningless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyAnnotator).validate_python(settings)
