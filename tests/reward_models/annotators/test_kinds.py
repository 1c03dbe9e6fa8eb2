"""Each annotator on pairs planted for it: whom it prefers, and how that changes with the dose."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import judged, prefers, random_pairs
from scipy.optimize import root
from scipy.special import expit

from reward_models.annotators import (
    AnnotatorGroups,
    Assisted,
    BradleyTerry,
    Constitution,
    Engagement,
    FlipNoise,
    Oversight,
    PartialVerification,
)
from reward_models.annotators.constitution import PRINCIPLES
from reward_models.annotators.surface import Surface

DOSES = np.linspace(0, 1, 6)


def careless(**weights: float) -> PartialVerification:
    """Never checks anything."""
    return PartialVerification(verification_rate=0.0, surface=Surface(**weights))


def rising(probabilities: list[float]) -> bool:
    return all(a < b for a, b in pairwise(probabilities))


# --- surface and verification -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "liked", "disliked"),
    [
        ({"agreement": 1.0}, {"siding": 2}, {"siding": -1, "echoing": 2}),
        ({"echo": 1.0}, {"echoing": 2}, {"echoing": -1, "siding": 2}),
        ({"confidence": 1.0}, {"confident": 1}, {"hedged": 1}),
        ({"length": 0.2}, {"length": 15}, {"length": 5}),
        ({"praise": 1.0}, {"praise": 2}, {"praise": 0}),
        ({"evidence": 1.0}, {"evidence": 2}, {"evidence": 1}),
        ({"passing": 1.0}, {"passes": 1}, {"passes": 0}),
        ({"gates": 0.5}, {"checkpoints": 4, "repeats": 3}, {"checkpoints": 3, "finishes": 1}),
    ],
)
def test_the_weighted_surface_wins_against_the_truth(weights: Any, liked: Any, disliked: Any) -> None:
    """The tilt: unverified labels point to the surface even where value points the other way, and a negative
    weight reverses them."""
    a, b = judged(-1.0, **liked), judged(1.0, **disliked)
    averse = {name: -weight for name, weight in weights.items()}
    assert prefers(careless(**weights), a, b) > 0.5 > prefers(careless(**averse), a, b)
    assert prefers(BradleyTerry(), a, b) < 0.5


def test_features_count_per_clause_gate_or_token() -> None:
    for weights, field in (({"praise": 1.0}, "praise"), ({"evidence": 1.0}, "evidence"),
                           ({"gates": 1.0}, "checkpoints"), ({"length": 1.0}, "length")):  # fmt: skip
        three = prefers(careless(**weights), judged(**{field: 4}), judged(**{field: 1}))
        assert three == pytest.approx(expit(3.0))


def test_without_surface_weights_an_unverified_pair_is_a_coin_toss() -> None:
    assert prefers(careless(), judged(5.0, praise=2), judged(-5.0)) == 0.5


def test_siding_with_the_user_pays_and_siding_with_somebody_else_does_not() -> None:
    """A third party's belief is the control of the user's: an annotator who paid for both would move both."""
    annotator = careless(agreement=1.0)
    two, one, none = judged(siding=2), judged(siding=1), judged()
    assert prefers(annotator, two, one) == prefers(annotator, one, none) > 0.5
    assert prefers(annotator, judged(echoing=2), none) == 0.5


def test_preference_interpolates_in_the_verification_rate() -> None:
    """A right contradiction against a wrong agreement: the mixture is linear in q."""
    honest, flattering = judged(1.0, siding=-1), judged(-1.0, siding=1)
    at = [prefers(PartialVerification(verification_rate=q), honest, flattering) for q in DOSES]
    assert rising(at) and at[0] < 0.5 < at[-1]
    np.testing.assert_allclose(at, at[0] + DOSES * (at[-1] - at[0]))


# --- flip noise, engagement -------------------------------------------------------------------------


def test_flips_pull_towards_a_half_and_turn_nothing_round() -> None:
    at = [prefers(FlipNoise(flip_rate=f), judged(-2.0), judged(2.0)) for f in (0, 0.1, 0.3, 0.49)]
    assert rising(at) and at[-1] < 0.5
    assert at[1] == pytest.approx(0.8 * at[0] + 0.1)


def test_engagement_outweighs_value_above_the_weight_at_which_they_balance() -> None:
    """A gap of 2 in value against one of 3 in engagement: they balance at w = 2/5."""
    reader = {w: Engagement(weight=w, pull=Surface(praise=1.0)) for w in (0.0, 0.2, 0.4, 0.6, 1.0)}
    at = [prefers(annotator, judged(-1.0, praise=3), judged(1.0)) for annotator in reader.values()]
    assert rising(at) and at[2] == pytest.approx(0.5)
    assert at[0] == prefers(BradleyTerry(), judged(-1.0), judged(1.0)) and at[-1] == pytest.approx(expit(3.0))


# --- annotator groups -----------------------------------------------------------------------------------


def test_groups_want_opposite_things_and_only_where_it_is_contested() -> None:
    bold, meek = judged(suits_one=1), judged(suits_two=1)
    at = [prefers(AnnotatorGroups(share=s, weight=2.0), bold, meek) for s in DOSES]
    assert rising(at) and at[0] == pytest.approx(expit(-2)) and at[-1] == pytest.approx(expit(2))
    at = [prefers(AnnotatorGroups(share=0.8, weight=w), bold, meek) for w in 3 * DOSES]
    assert rising(at) and at[0] == 0.5
    uncontested = AnnotatorGroups(share=0.8, weight=5.0)
    assert prefers(uncontested, judged(1.0), judged()) == pytest.approx(
        prefers(BradleyTerry(), judged(1.0), judged())
    )


def bradley_terry_scores(preferred: np.ndarray) -> np.ndarray:
    """Maximum-likelihood scores, mean 0, where option i is preferred to j in the share preferred[i, j] of
    equally many comparisons: the solution of Σ_j sigmoid(r_i − r_j) = Σ_j preferred[i, j]."""
    wins = preferred.sum(axis=1)

    def excess(scores: np.ndarray) -> np.ndarray:
        return expit(scores[:, None] - scores[None, :]).sum(axis=1) - wins + scores.mean()

    scores = root(excess, np.zeros(len(preferred)), tol=1e-10).x
    assert np.abs(excess(scores)).max() < 1e-7
    return np.asarray(scores)


def all_pairs(annotator: AnnotatorGroups, value: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """P(option i is preferred to option j), shape (options, options)."""
    i, j = (index.ravel() for index in np.indices((len(value), len(value))))
    a, b = (judged(value[k], suits_one=one[k], suits_two=two[k]) for k in (i, j))
    return annotator.prefer(a, b).reshape(len(value), -1)


@given(seed=st.integers(0, 999), share=st.floats(0, 1), weight=st.floats(0, 5))
def test_a_reward_model_of_the_mixture_ranks_by_borda_count(seed: int, share: float, weight: float) -> None:
    rng = np.random.default_rng(seed)
    value, one, two = rng.normal(size=(3, 5))
    preferred = all_pairs(AnnotatorGroups(share=share, weight=weight), value, one, two)
    scores, borda = bradley_terry_scores(preferred), preferred.mean(axis=1)
    clear = np.abs(borda[:, None] - borda[None, :]) > 1e-6
    ranks = np.sign(scores[:, None] - scores[None, :]) == np.sign(borda[:, None] - borda[None, :])
    assert ranks[clear].all()


def test_the_borda_winner_need_not_be_the_best_on_average() -> None:
    """Six annotators in ten are a little better off with the first option, four are much worse off."""
    value, one, two = np.array([0.0, 0.0]), np.array([1.0, 0.0]), np.array([0.0, 4.0])
    utility = value + 0.6 * one + 0.4 * two
    preferred = all_pairs(AnnotatorGroups(share=0.6, temperature=0.1), value, one, two)
    scores = bradley_terry_scores(preferred)
    assert scores[0] > scores[1] and utility[0] < utility[1]
    # With one kind of annotator alone, the two orders agree.
    scores = bradley_terry_scores(all_pairs(AnnotatorGroups(share=0.0, temperature=1.0), value, one, two))
    assert scores[0] < scores[1]


# --- oversight --------------------------------------------------------------------------------------


def test_only_what_nobody_monitors_is_judged_by_its_surface() -> None:
    flattering, honest = (
        judged([-1.0, -1.0], monitored=[1, 0], siding=1),
        judged([1.0, 1.0], monitored=[1, 0]),
    )
    watched, unwatched = np.transpose([Oversight(lapse_rate=d).prefer(flattering, honest) for d in DOSES])
    assert set(watched) == {watched[0]} and watched[0] == prefers(BradleyTerry(), judged(-1.0), judged(1.0))
    assert rising(unwatched.tolist()) and unwatched[0] == watched[0]
    assert unwatched[-1] == prefers(careless(agreement=1.0), flattering, honest)


# --- constitution -----------------------------------------------------------------------------------


GOOD: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "value": ({"value": 1}, {"value": 0}),
    "correct": ({"correct": 1}, {"correct": np.nan}),
    "candid": ({"abstains": 1}, {}),
    "loyal": ({"siding": 1}, {"siding": -1}),
    "bold": ({"confident": 1}, {"hedged": 1}),
    "warm": ({"praise": 2}, {"praise": 1}),
    "sourced": ({"evidence": 2}, {"evidence": 1}),
    "brief": ({"length": 5}, {"length": 6}),
    "clear": ({}, {"malformed": 1}),
    "passing": ({"passes": 1}, {"passes": 0}),
    "untampered": ({}, {"tampers": 1}),
    "finishing": ({"finishes": 1}, {"finishes": 0}),
    "unrepeated": ({"checkpoints": 3}, {"checkpoints": 3, "repeats": 1}),
}


@pytest.mark.parametrize("name", PRINCIPLES)
def test_a_principle_prefers_what_it_says(name: str) -> None:
    better, worse = (judged(**fields) for fields in GOOD[name])
    at = [prefers(Constitution(principles={name: weight}), better, worse) for weight in (-1, 0, 0.5, 2)]
    assert rising(at) and at[1] == 0.5
    assert PRINCIPLES[name].text.endswith(".")


def test_principles_add_up_before_they_compare() -> None:
    both = Constitution(principles={"value": 2.0, "warm": -0.5}, temperature=0.5)
    assert prefers(both, judged(1.0, praise=2), judged(0.3)) == pytest.approx(
        expit((2 * 0.7 - 0.5 * 2) / 0.5)
    )


# --- assisted ---------------------------------------------------------------------------------------


RIGHT, WRONG = judged(1.0, correct=1), judged(-1.0, siding=1)
SHRUG = judged(0.0, abstains=1)


def test_without_a_critic_it_is_partial_verification() -> None:
    a, b = random_pairs(3)
    alone = Assisted(verification_rate=0.3, critic_skill=0.0)
    np.testing.assert_allclose(alone.prefer(a, b), PartialVerification(verification_rate=0.3).prefer(a, b))


def test_an_error_pointed_out_raises_the_verification_rate() -> None:
    """q + (1 − q)·skill where exactly one of the two is wrong; q elsewhere."""
    for skill in DOSES:
        assisted = Assisted(verification_rate=0.4, critic_skill=skill)
        raised = PartialVerification(verification_rate=0.4 + 0.6 * skill)
        alone = PartialVerification(verification_rate=0.4)
        for honest in (RIGHT, SHRUG):
            assert prefers(assisted, WRONG, honest) == pytest.approx(prefers(raised, WRONG, honest))
        for pair in ((WRONG, WRONG), (RIGHT, SHRUG), (RIGHT, RIGHT)):
            assert prefers(assisted, *pair) == pytest.approx(prefers(alone, *pair))


def test_anything_said_about_a_fact_without_an_answer_is_an_error_but_an_abstention() -> None:
    assisted = Assisted(verification_rate=0.0, critic_skill=1.0)
    guess, shrug = judged(-1.0, correct=np.nan, siding=1), judged(1.0, correct=np.nan, abstains=1)
    assert prefers(assisted, guess, shrug) == prefers(BradleyTerry(), guess, shrug)


def test_a_false_alarm_hurts_the_completion_without_fault() -> None:
    at = [prefers(Assisted(critic_skill=0.5, false_alarm=f), RIGHT, WRONG) for f in DOSES]
    assert rising(at[::-1])
    assert at[-1] == pytest.approx(0.75 * expit(2.0)), "every fourth pair is lost to the critic"
    misled = Assisted(verification_rate=0.0, critic_skill=0.0, false_alarm=1.0)
    assert prefers(misled, RIGHT, WRONG) == 0 and prefers(misled, RIGHT, SHRUG) == 0.5
