"""What all annotators share: symmetry, a dose of zero, needs, gaps and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judging import COUNTS, EVERY_SURFACE, FLAGS, TYPES, dosed, judged, prefers, random_pairs
from pydantic import TypeAdapter, ValidationError

from reward_models.annotators import (
    ANNOTATORS,
    AnyAnnotator,
    Assisted,
    BradleyTerry,
    Constitution,
    Oversight,
    PartialVerification,
)
from reward_models.annotators.base import MAY_NOT_APPLY, Annotator, Judged
from reward_models.annotators.surface import Surface

DOSED = dict(zip(TYPES, dosed(0.6), strict=True))


def test_every_registered_annotator_is_tested_here() -> None:
    assert set(ANNOTATORS.parts) == set(TYPES)


def test_bradley_terry_is_the_logistic_of_the_margin_with_flips() -> None:
    annotator = BradleyTerry(temperature=0.5, flip_rate=0.1)
    margin = np.array([-1.0, 0.0, 2.0])
    expected = 0.8 / (1 + np.exp(-margin / 0.5)) + 0.1
    np.testing.assert_allclose(annotator.prefer(judged(margin), judged(np.zeros(3))), expected, rtol=1e-12)


@given(
    dose=st.floats(0, 1),
    temperature=st.floats(0.01, 10),
    flip_rate=st.floats(0, 0.49),
    seed=st.integers(0, 99),
)
def test_the_two_orders_sum_to_one(dose: float, temperature: float, flip_rate: float, seed: int) -> None:
    a, b = random_pairs(seed)
    for annotator in dosed(dose, temperature=temperature, flip_rate=flip_rate):
        forward = annotator.prefer(a, b)
        np.testing.assert_allclose(forward + annotator.prefer(b, a), 1.0, atol=1e-12)
        assert ((flip_rate - 1e-12 <= forward) & (forward <= 1 - flip_rate + 1e-12)).all()


@pytest.mark.parametrize("noise", [{}, {"temperature": 0.7, "flip_rate": 0.05}], ids=["sharp", "noisy"])
def test_dose_zero_is_bradley_terry_exactly_and_needs_nothing_else(noise: dict[str, float]) -> None:
    a, b = random_pairs(0)
    plain, *others = dosed(0, **noise)
    for annotator in others:
        np.testing.assert_array_equal(annotator.prefer(a, b), plain.prefer(a, b), err_msg=annotator.type)
        assert annotator.needs == annotator.needs_items == frozenset()


def test_any_dose_but_zero_differs_from_bradley_terry() -> None:
    a, b = random_pairs(0)
    plain, *others = dosed(0.6)
    for annotator in others:
        assert np.abs(annotator.prefer(a, b) - plain.prefer(a, b)).max() > 0.1, annotator.type


@pytest.mark.parametrize("annotator", DOSED.values(), ids=DOSED)
def test_extreme_margins_are_finite_probabilities(annotator: Annotator) -> None:
    a, b = judged([1e6, -1e6, 0.0], 1e6), judged([-1e6, 1e6, 0.0], 1.0)
    probability = annotator.prefer(a, b)
    assert ((probability >= 0) & (probability <= 1)).all()
    np.testing.assert_allclose(probability + annotator.prefer(b, a), 1.0)


@pytest.mark.parametrize("annotator", DOSED.values(), ids=DOSED)
def test_what_it_says_it_needs_is_all_it_reads(annotator: Annotator) -> None:
    full, other = random_pairs(1)

    def bare(side: Judged) -> Judged:
        outcome = {name: side.outcome[name] for name in annotator.needs}
        return Judged(side.value, outcome, side.length, {n: side.item[n] for n in annotator.needs_items})

    np.testing.assert_array_equal(annotator.prefer(bare(full), bare(other)), annotator.prefer(full, other))
    for name in annotator.needs:
        without = bare(full)
        with pytest.raises(KeyError, match=name):
            annotator.prefer(Judged(full.value, {k: v for k, v in without.outcome.items() if k != name},
                                    full.length, without.item), bare(other))  # fmt: skip
    if annotator.needs_items:
        with pytest.raises(KeyError, match="monitored"):
            annotator.prefer(Judged(full.value, full.outcome, full.length), bare(other))


@pytest.mark.parametrize("annotator", DOSED.values(), ids=DOSED)
def test_a_gap_is_no_only_where_a_field_does_not_apply(annotator: Annotator) -> None:
    plain = judged(1.0)
    for name in annotator.needs:
        gap = judged(1.0, **{name: np.nan})
        if name in MAY_NOT_APPLY:
            assert prefers(annotator, gap, plain) == pytest.approx(0.5), name
        else:
            with pytest.raises(ValueError, match=f"`{name}`.*row 0"):
                annotator.prefer(gap, plain)
    with pytest.raises(ValueError, match="`value`.*row 1"):
        annotator.prefer(judged([0.0, np.nan]), judged([0.0, 0.0]))


def test_a_missing_length_or_tag_is_refused() -> None:
    lengthy = PartialVerification(verification_rate=0.0, surface=Surface(length=1.0))
    with pytest.raises(ValueError, match="`length`"):
        lengthy.prefer(judged(), judged(length=np.nan))
    with pytest.raises(ValueError, match="`monitored`"):
        Oversight().prefer(judged(monitored=np.nan), judged(monitored=np.nan))


@pytest.mark.parametrize("annotator", dosed(0, temperature=0.0), ids=TYPES)
def test_at_temperature_zero_the_better_one_wins_and_equals_toss_a_coin(annotator: Annotator) -> None:
    worse, better = judged([0.0, 0.0]), judged([1e-9, 0.0])
    np.testing.assert_array_equal(annotator.prefer(better, worse), [1.0, 0.5])


def test_what_is_not_weighed_is_not_needed() -> None:
    """An annotator can serve a world that lacks the fields it does not use."""
    assert PartialVerification(verification_rate=0.0, surface=Surface(length=1.0)).needs == frozenset()
    assert Constitution(principles={"value": 1, "brief": 0.1, "warm": 0}).needs == frozenset()
    assert Assisted(critic_skill=0, surface=Surface(praise=1.0)).needs == {"praise"}
    used = {"siding", "echoing", "confident", "hedged", "praise", "evidence", "passes"}
    assert EVERY_SURFACE.needs == used | {"checkpoints"}
    everything = frozenset().union(*(annotator.needs for annotator in DOSED.values()))
    assert everything == {*FLAGS, *COUNTS}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "bradley_terry", "temperature": -0.1}, "greater than or equal to 0"),
    ({"type": "bradley_terry", "flip_rate": 0.51}, "less than or equal to 0.5"),
    ({"type": "flip_noise", "flip_rate": 0.51}, "less than or equal to 0.5"),
    ({"type": "partial_verification", "verification_rate": 1.1}, "less than or equal to 1"),
    ({"type": "partial_verification", "surface": {"honesty": 1.0}}, "honesty"),
    ({"type": "engagement", "weight": -0.1}, "greater than or equal to 0"),
    ({"type": "annotator_groups", "share": 1.5}, "less than or equal to 1"),
    ({"type": "oversight", "lapse_rate": 2}, "less than or equal to 1"),
    ({"type": "assisted", "critic_skill": 2}, "less than or equal to 1"),
    ({"type": "constitution", "principles": {}}, "at least 1 item"),
    ({"type": "constitution", "principles": {"kindness": 1.0}}, "kindness; known are value, correct, candid"),
    ({"type": "constitution", "principles": {"value": float("nan")}}, "finite"),
]


@pytest.mark.parametrize(("settings", "reason"), REFUSED)
def test_meaningless_settings_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(AnyAnnotator).validate_python(settings)
