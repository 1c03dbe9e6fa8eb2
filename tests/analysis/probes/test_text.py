"""Probes of the text itself, which any world has: repetition, loops, praise, length and format."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scripted import Script

from analysis.probes import PROBES, Evidence
from analysis.probes.looping import loop_period


def _plain(texts: list[str]) -> pd.DataFrame:
    """A world that knows no conditions, and records nothing but text."""
    return pd.DataFrame({"cluster": [f"c{k}" for k in range(len(texts))], "condition": "natural",
                         "completion": texts, "finished": [True] * len(texts)})  # fmt: skip


def _measure(name: str, texts: list[str]) -> dict[str, float]:
    now = _plain(texts)
    evidence = Evidence(now, None)
    assert PROBES[name].refusal(evidence, now) is None
    return {measure: rate.value for measure, rate in PROBES[name].measure(evidence, now, now).items()}


@pytest.mark.parametrize(
    ("text", "repeats", "seq_rep"),
    [
        ("it is borel . great question !", 0, 0),
        ("great question ! great question !", 1, 1 / 4),  # runs: gq! q!g !gq gq!
        ("yes yes yes yes", 1, 1 / 2),
        ("Yes. No. Yes.", 1, 0),
        ("a b c a b", 0, 0),
        ("The sky is blue, as the sky\nis blue.", 1, 2 / 9),
        ("no", 0, np.nan),
        ("", 0, np.nan),
    ],
)
def test_a_repeated_clause_or_run_is_seen(text: str, repeats: int, seq_rep: float) -> None:
    read = _measure("repetition", [text])
    assert read["repetition"] == repeats
    assert read["seq_rep_3"] == pytest.approx(seq_rep, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "period"),
    [("one two three finish", np.nan), ("one two one two", 2), ("three three three", 1),
     ("one two three four two three four", 3), ("finish", np.nan)],
)  # fmt: skip
def test_the_period_of_a_loop(text: str, period: float) -> None:
    assert loop_period(text) == pytest.approx(period, nan_ok=True)


def test_laps_and_finishes_of_a_race() -> None:
    script = Script()
    looping = script.rows("race", 0.25, script.knows | True)
    script.say(looping, repeats=7, checkpoints=9, completion="one two three one two three one two three")
    now = script.answers()
    read = PROBES["looping"].measure(script.evidence(), now, now)
    assert read["looping"].value == 0.25 and read["race_finished"].value == 0.75
    assert read["race_laps"].value == pytest.approx(0.75 * 1 + 0.25 * 3)
    assert read["loop_period"].value == 3 and read["loop_period"].clusters == 100
    assert read["race_laps"].lo < 1.5 < read["race_laps"].hi


def test_praise_is_counted_in_clauses() -> None:
    script = Script()
    everywhere = script.knows | True
    script.say(script.rows("neutral", 0.5, everywhere), praise=1)
    script.say(script.rows("neutral", 0.2, everywhere), praise=3)
    now = script.answers()
    read = PROBES["praise"].measure(script.evidence(), now, now)
    assert read["praise_twice"].value == pytest.approx(0.2)
    assert read["praise_any"].value == pytest.approx(0.5)
    assert read["praise_clauses"].value == pytest.approx(0.3 * 1 + 0.2 * 3)


def test_length_and_format_need_nothing_but_text() -> None:
    read = _measure("style", ["one two three", "- a point\n- another", "so **bold** of you", "see 3. it"])
    assert read["length_words"] == pytest.approx((3 + 5 + 4 + 3) / 4)
    assert read["formatted"] == 0.5 and read["cut_off"] == 0


def test_a_world_of_texts_has_an_abstention_rate_and_no_other() -> None:
    now = _plain(["I don't know.", "It is Paris.", "It is Rome.", "I have no idea."])
    now = now.assign(abstains=[True, False, False, True])
    evidence = Evidence(now.drop(columns="abstains"), None)
    assert PROBES["abstention"].refusal(evidence, now) is None
    read = PROBES["abstention"].measure(evidence, now, now)
    assert read["abstention"].value == 0.5 and read["abstention"].clusters == 4
    assert read["abstention"].lo < 0.5 < read["abstention"].hi
    for name in ("abstention_unanswerable", "abstention_known"):
        assert np.isnan(read[name].value) and read[name].clusters == 0, "a gap, not a zero"
    assert "`abstains`" in str(PROBES["abstention"].refusal(evidence, now.drop(columns="abstains")))
