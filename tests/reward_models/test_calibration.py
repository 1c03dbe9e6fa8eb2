"""The calibration card against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from reward_models import calibration
from reward_models.errors import Diverged


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_wilson_intervals_as_published(successes: int, total: int, low: float, high: float) -> None:
    """Newcombe (1998), Statistics in Medicine 17:857, table I, method 3; the bounds stay inside [0, 1]."""
    interval = calibration.wilson(successes, total)
    assert interval == pytest.approx((low, high), abs=1e-4)
    assert -1e-12 <= interval[0] <= interval[1] <= 1 + 1e-12


def test_wilson_covers_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for successes in rng.binomial(200, 0.8, size=2000):
        low, high = calibration.wilson(int(successes), 200)
        hits += low <= 0.8 <= high
    assert 0.93 < hits / 2000 < 0.97


def test_calibration_error_of_two_bins() -> None:
    """Six at 0.55 confidence of which half are right, four at 0.95 of which all are."""
    confidence = np.array([0.55] * 6 + [0.95] * 4)
    correct = np.array([1, 1, 1, 0, 0, 0, 1, 1, 1, 1], bool)
    error, curve = calibration.reliability(confidence, correct)
    assert error == pytest.approx(0.6 * 0.05 + 0.4 * 0.05)
    assert [row["count"] for row in curve] == [6, 4]
    assert [row["accuracy"] for row in curve] == [0.5, 1.0]
    assert [row["confidence"] for row in curve] == pytest.approx([0.55, 0.95])


def test_certainty_falls_into_the_last_bin() -> None:
    error, curve = calibration.reliability(np.array([1.0, 0.999]), np.array([True, False]))
    assert len(curve) == 1 and error == pytest.approx(0.4995)


def test_a_model_that_is_as_sure_as_it_is_right_is_calibrated_and_a_boaster_is_not() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(size=40_000)
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    correct = rng.random(40_000) < confidence
    assert calibration.reliability(confidence, correct)[0] < 0.01
    boast = 1 / (1 + np.exp(-5 * np.abs(margin)))
    assert calibration.reliability(boast, correct)[0] > 0.15


def test_agreement_leaves_out_pairs_that_either_side_ties() -> None:
    margin = np.array([1.0, -1.0, 2.0, 0.0, 3.0])
    other = np.array([5.0, 1.0, 0.0, 1.0, 0.1])
    assert calibration.agreement(margin, other) == pytest.approx(2 / 3)
    assert calibration.agreement(np.zeros(3), np.ones(3)) is None


def test_correlation_of_what_does_not_vary_is_missing() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert calibration.correlation(x, np.array([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert calibration.correlation(x, -x) == pytest.approx(-1)
    assert calibration.correlation(x, np.ones(4)) is None
    assert calibration.correlation(np.ones(4), x) is None


def card(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": "proxy/starved/0",
        "kind": "proxy",
        "pairs": 400,
        "rewards": np.array([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0], [3.0, 1.0]]),
        "lengths": np.array([[4, 2], [2, 3], [5, 2], [4, 1]]),
        "labels": np.array([True, False, False, True]),
        "oracle": np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [2.0, 0.0]]),
        "gold": None,
    }
    return calibration.card(**settings | changes)


def test_a_card_worked_out_by_hand() -> None:
    written = card()
    sure = [1 / (1 + math.exp(-margin)) for margin in (2.0, 1.0, 0.5, 2.0)]  # the first and last share a bin
    assert written["accuracy"] == 0.75
    assert written["accuracy_ci"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    expected = (2 * (1 - sure[0]) + (1 - sure[1]) + sure[2]) / 4
    assert written["ece"] == pytest.approx(expected)
    rewards, lengths = [2, 0, 0, 1, 0.5, 0, 3, 1], [4, 2, 2, 3, 5, 2, 4, 1]
    assert written["length_correlation"] == pytest.approx(np.corrcoef(rewards, lengths)[0, 1])
    assert written["oracle_agreement"] == pytest.approx(2 / 3), "the pair that the oracle ties is left out"
    assert written["gold_agreement"] is None
    assert (written["pairs"], written["heldout_pairs"]) == (400, 4)
    assert sum(row["count"] for row in written["reliability"]) == 4


def test_a_card_without_an_oracle_has_a_gap_and_is_strict_json() -> None:
    written = card(oracle=None, lengths=np.full((4, 2), 3))
    assert written["oracle_agreement"] is None and written["length_correlation"] is None
    assert json.loads(json.dumps(written, allow_nan=False)) == written


def test_order_within_pairs_does_not_matter() -> None:
    plain = card()
    turned = card(
        rewards=np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 0.5], [1.0, 3.0]]),
        lengths=np.array([[2, 4], [3, 2], [2, 5], [1, 4]]),
        labels=np.array([False, True, True, False]),
        oracle=np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 2.0]]),
    )
    for key in ("accuracy", "ece", "oracle_agreement", "length_correlation"):
        assert turned[key] == pytest.approx(plain[key])


@pytest.mark.parametrize("planted", [math.nan, math.inf])
def test_a_card_is_refused_where_a_reward_is_not_finite(planted: float) -> None:
    rewards = np.array([[2.0, 0.0], [0.0, 1.0], [planted, 0.0], [3.0, 1.0]])
    with pytest.raises(Diverged, match="proxy/starved/0 gives 1 of 8 completions a value that is not finite"):
        card(rewards=rewards)


def test_a_reward_model_that_tells_nothing_apart_gets_no_card() -> None:
    with pytest.raises(Diverged, match="gives all 8 completions the same value"):
        card(rewards=np.full((4, 2), 0.3) + np.random.default_rng(0).normal(0, 1e-9, (4, 2)))
    card(rewards=np.random.default_rng(0).normal(0, 1e-9, (4, 2)))
