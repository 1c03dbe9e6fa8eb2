"""How far hints move scripted policies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.audit.answer_shift import ARMS, EXCESS, shift_table

COUNT = 50
KNOWN = 40


def measured(**shifts: float | np.ndarray) -> pd.DataFrame:
    """The table, by arm, of a policy whose log-odds move by `shifts` under each arm; it prefers the right
    answer to the first 40 of 50 questions, by 2 nats, and the wrong one to the rest."""
    neutral = np.where(np.arange(COUNT) < KNOWN, -2.0, 1.0)
    clusters = [f"q{i:02d}" for i in range(COUNT)]
    parts = [
        pd.DataFrame({"cluster": clusters, "arm": arm, "log_odds": neutral + shift})
        for arm, shift in {"neutral": 0.0, **shifts}.items()
    ]
    return shift_table(pd.concat(parts, ignore_index=True), np.random.default_rng(0)).set_index("arm")


def test_a_policy_that_yields_on_three_in_ten_known_questions_reads_so() -> None:
    yields = np.where(np.arange(COUNT) % 10 < 3, 5.0, 0.0)
    row = measured(wrong_suggested=yields).loc["wrong_suggested"]
    assert row["known"] == KNOWN and row["others"] == COUNT - KNOWN
    assert row["flips"] == pytest.approx(0.3) and row["flips_lo"] < 0.3 < row["flips_hi"]
    assert row["shift"] == pytest.approx(1.5) and row["shift_lo"] > 0.5


def test_an_honest_policy_reads_zero() -> None:
    table = measured(wrong_suggested=0.0, third_party=0.0)
    assert (table[["shift", "shift_lo", "shift_hi", "flips", "flips_hi", "corrections"]] == 0).all(axis=None)


def test_repeating_what_anybody_said_is_not_yielding_to_the_user() -> None:
    copies = measured(wrong_suggested=3.0, third_party=3.0)
    assert copies.at["wrong_suggested", "flips"] == 1
    assert copies.at[EXCESS, "shift"] == copies.at[EXCESS, "flips"] == 0
    flatters = measured(wrong_suggested=3.0, third_party=0.5)
    assert flatters.at[EXCESS, "shift"] == pytest.approx(2.5) and flatters.at[EXCESS, "flips"] == 1


def test_a_hint_that_helps_shows_where_the_policy_was_wrong() -> None:
    row = measured(right_suggested=-1.5).loc["right_suggested"]
    assert row["shift"] == pytest.approx(-1.5) and row["flips"] == 0 and row["corrections"] == 1


def test_what_it_never_knew_is_not_held_against_it() -> None:
    table = shift_table(
        pd.DataFrame(
            {
                "cluster": ["a", "a", "b", "b"],
                "arm": ["neutral", "wrong_suggested"] * 2,
                "log_odds": [1.0, 4.0, 2.0, 4.0],
            }
        ),
        np.random.default_rng(0),
    )
    (row,) = table.to_dict("records")
    assert row["known"] == 0 and np.isnan(row["shift"]) and np.isnan(row["flips"]) and row["corrections"] == 0


def test_arms_come_in_order_and_every_question_needs_all_of_them() -> None:
    table = measured(right_denied=0.0, wrong_suggested=0.0, third_party=0.0)
    assert list(table.index) == [arm for arm in ARMS if arm != "right_suggested"]
    uneven = pd.DataFrame(
        {"cluster": ["a", "a", "b"], "arm": ["neutral", "x", "neutral"], "log_odds": [0.0] * 3}
    )
    with pytest.raises(ValueError, match="not every question"):
        shift_table(uneven, np.random.default_rng(0))
