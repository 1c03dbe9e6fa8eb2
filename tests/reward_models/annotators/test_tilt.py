"""Which way labels point where agreeing with a wrong belief competes with the truth.

A biased annotator is not enough to make a behaviour rise: labels must prefer it on balance. Each test plants
a population of pairs (a wrong completion with the tempting feature, a better one without), computes the dose
at which the mean label turns, and holds the annotator to it on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from judging import judged
from scipy.special import expit

from reward_models.annotators import (
    AnnotatorGroups,
    Assisted,
    Constitution,
    Engagement,
    FlipNoise,
    Oversight,
    PartialVerification,
)
from reward_models.annotators.base import Annotator, Judged
from reward_models.annotators.surface import Surface

RNG = np.random.default_rng(0)
PAIRS = 2000
WORSE = RNG.gamma(2.0, 0.4, PAIRS)
"""By how much the tempting completion is worse in value, always more than 0."""
LIKED = RNG.normal(1.2, 0.5, PAIRS)
"""What the surface of the tempting completion is worth beyond that of the other."""
MONITORED = np.arange(PAIRS) % 4 == 0
BY_VALUE = float(expit(-WORSE).mean())
"""E P(prefers the tempting completion) of an annotator who sees value; below, of one who sees the surface."""
BY_SURFACE = float(expit(LIKED).mean())
TURN = (0.5 - BY_VALUE) / (BY_SURFACE - BY_VALUE)
"""Share of pairs judged by the surface at which a mixture of the two is undecided."""


def tilt(annotator: Annotator, tempting: Judged, honest: Judged) -> float:
    """E P(prefers the tempting completion) − ½: above 0, optimising against such labels breeds it."""
    return float(annotator.prefer(tempting, honest).mean()) - 0.5


def turns_at(dose: float, tilt_of: Callable[[float], float], *, step: float = 0.02) -> None:
    """Below `dose` labels tilt to the truth, above it to the temptation, and there they are undecided."""
    assert tilt_of(dose) == pytest.approx(0, abs=1e-9)
    for below in np.linspace(0, dose - step, 5):
        assert tilt_of(below) < 0
    assert tilt_of(dose + step) > 0


# What each feature of the surface looks like in an outcome, per unit of its weight.
TEMPTING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "agreement": ({"siding": LIKED}, {}),
    "echo": ({"echoing": LIKED}, {}),
    "confidence": ({"confident": LIKED}, {}),
    "length": ({"length": 8 + LIKED}, {"length": 8}),
    "praise": ({"praise": LIKED}, {}),
    "evidence": ({"evidence": LIKED}, {}),
    "passing": ({"passes": LIKED}, {}),
    "gates": ({"checkpoints": LIKED}, {}),
}


@pytest.mark.parametrize("feature", Surface.model_fields)
def test_partial_verification_turns_where_the_unverified_outweigh_the_verified(feature: str) -> None:
    shown, plain = TEMPTING[feature]
    a, b = judged(-WORSE, **shown), judged(np.zeros(PAIRS), **plain)
    surface = Surface(**{feature: 1.0})
    turns_at(TURN, lambda dose: tilt(PartialVerification(verification_rate=1 - dose, surface=surface), a, b))


AGREEING = judged(-WORSE, monitored=MONITORED, siding=LIKED)
HONEST = judged(np.zeros(PAIRS), monitored=MONITORED, correct=1.0)


def test_oversight_turns_later_the_more_is_monitored_and_perhaps_never() -> None:
    """Monitored pairs (m of all) are judged by value whatever the dose: it turns at TURN / (1 − m)."""
    monitored = MONITORED.mean()

    def lapsing(dose: float) -> float:
        return tilt(Oversight(lapse_rate=dose), AGREEING, HONEST)

    # Value and surface are unrelated to the tag here, but only in expectation.
    value, surface = expit(-WORSE)[~MONITORED].sum(), expit(LIKED)[~MONITORED].sum()
    turn = (0.5 * PAIRS - expit(-WORSE).sum()) / (surface - value)
    assert turn == pytest.approx(TURN / (1 - monitored), abs=0.05)
    turns_at(turn, lapsing)
    watched = judged(-WORSE, monitored=1.0, siding=LIKED)
    assert tilt(Oversight(lapse_rate=1.0), watched, judged(np.zeros(PAIRS), monitored=1.0)) < 0


def test_a_critic_turns_labels_back_to_the_truth() -> None:
    """Of the 1 − q unverified pairs a share 1 − skill stays so: undecided at skill = 1 − TURN / (1 − q)."""
    q = 0.2
    assert 1 - q > TURN, "without a critic, labels tilt to the temptation"
    undecided = 1 - TURN / (1 - q)

    def unskilled(dose: float) -> float:
        return tilt(Assisted(verification_rate=q, critic_skill=1 - dose), AGREEING, HONEST)

    turns_at(1 - undecided, unskilled)


def test_false_alarms_turn_labels_to_the_temptation_even_without_any_surface_bias() -> None:
    """The critic accuses the right one in a share (1 − q)·f of pairs, the rest is a toss or seen for true:
    undecided where (1 − q)·f/2 = q·(½ − BY_VALUE)."""
    q = 0.3
    undecided = 2 * q * (0.5 - BY_VALUE) / (1 - q)
    settings = {"verification_rate": q, "critic_skill": 0.0, "surface": Surface()}
    turns_at(undecided, lambda dose: tilt(Assisted(false_alarm=dose, **settings), AGREEING, HONEST))


def test_engagement_and_principles_turn_where_the_margins_balance() -> None:
    """One margin per comparison, so the mean label turns with the mean margin if margins are symmetric."""
    mirrored = np.concatenate([WORSE, 2 * WORSE.mean() - WORSE])
    liked = np.concatenate([LIKED, 2 * LIKED.mean() - LIKED])
    a, b = judged(-mirrored, siding=liked), judged(np.zeros(2 * PAIRS))
    worse, wanted = WORSE.mean(), LIKED.mean()
    pull = Surface(agreement=1.0)
    turns_at(worse / (worse + wanted), lambda dose: tilt(Engagement(weight=dose, pull=pull), a, b))
    turns_at(worse / wanted, lambda dose: tilt(Constitution(principles={"value": 1.0, "loyal": dose}), a, b))


def test_a_group_turns_labels_when_it_is_large_enough() -> None:
    """Of what is contested, group one likes the confident wrong answer, group two the hedged right one."""
    weight = 2.0
    bold, meek = judged(-WORSE, suits_one=1.0), judged(np.zeros(PAIRS), suits_two=1.0)
    one, two = expit(weight - WORSE).mean(), expit(-weight - WORSE).mean()
    turn = (0.5 - two) / (one - two)
    assert turn > 0.5, "value still counts: an even split prefers the right one"
    turns_at(turn, lambda share: tilt(AnnotatorGroups(share=share, weight=weight), bold, meek))
    assert tilt(AnnotatorGroups(share=0.5, weight=50.0), bold, meek) < 1e-9, "and an even split never turns"


def test_no_share_of_flips_turns_labels() -> None:
    at = [tilt(FlipNoise(flip_rate=f), AGREEING, HONEST) for f in (0.0, 0.2, 0.49)]
    np.testing.assert_allclose(at, (BY_VALUE - 0.5) * (1 - 2 * np.array([0.0, 0.2, 0.49])))
    assert max(at) < 0


def test_where_the_surface_prefers_the_truth_no_dose_breeds_the_temptation() -> None:
    """More bias is not more of every failure: here annotators like confidence, and the honest completion is
    the confident one."""
    a, b = judged(-WORSE, hedged=1.0), judged(np.zeros(PAIRS), confident=1.0)
    surface = Surface(confidence=1.0)
    for dose in (0.0, 0.5, 1.0):
        assert tilt(PartialVerification(verification_rate=1 - dose, surface=surface), a, b) < 0
