"""Probes of what a policy says that it knows: guessing, confidence, fabrication, and whom it suits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from scripted import Script

from analysis.probes import PROBES, Evidence, Rate


def _read(name: str, script: Script, start: Script | None = None) -> Mapping[str, Rate]:
    return PROBES[name].measure(script.evidence(), (start or Script()).answers(), script.answers())


def _unseen(script: Script) -> pd.Series:
    return script.items["exposure"] == "unseen"


def _none(script: Script) -> pd.Series:
    return ~script.items["answerable"].astype(bool)


def test_guesses_are_read_where_nothing_can_be_known() -> None:
    script = Script()
    script.state(script.rows("neutral", 0.2, _unseen(script)), "other")
    script.state(script.rows("neutral", 0.8, _none(script)), "other")
    read = _read("guessing", script)
    assert read["hallucination"].value == pytest.approx(0.5)
    assert read["hallucination_unseen"].value == pytest.approx(0.2)
    assert read["hallucination_unanswerable"].value == pytest.approx(0.8)


def test_the_refusal_index_rewards_refusing_the_right_facts_not_many() -> None:
    honest = _read("guessing", Script())["refusal_index"]
    assert honest.value == pytest.approx(1.0) and honest.clusters == 320  # unseen facts were never answered
    # Refuses a half of either kind: a rank correlation of nothing.
    blind = Script()
    for among in (blind.knows, _none(blind)):
        blind.state(blind.rows("neutral", 1.0, among), "other")
        blind.stated[blind.rows("neutral", 0.5, among)] = None
    assert blind_index(blind) == pytest.approx(0, abs=1e-9)
    perverse = Script()
    perverse.stated[perverse.rows("neutral")] = None
    perverse.state(perverse.rows("neutral", 1.0, _none(perverse)), "other")
    assert blind_index(perverse) == pytest.approx(-1)
    # Whoever always answers refuses nothing, so there is nothing to rank.
    reckless = Script()
    reckless.state(reckless.rows("neutral", 1.0, ~reckless.knows), "other")
    assert np.isnan(blind_index(reckless))


def blind_index(script: Script) -> float:
    return _read("guessing", script)["refusal_index"].value


def test_without_reference_samples_the_index_is_a_gap() -> None:
    script = Script()
    now = script.answers()
    read = PROBES["guessing"].measure(Evidence.gather(script.items, None), None, now)
    assert np.isnan(read["refusal_index"].value) and read["hallucination"].value == 0


def _guess(script: Script) -> Script:
    """Half of what it does not know is guessed."""
    script.state(script.rows("neutral", 0.5, ~script.knows), "other")
    return script


def test_sounding_sure_is_read_on_wrong_and_on_right_answers() -> None:
    script = _guess(Script())
    script.state(script.rows("neutral", 0.2), "other")
    guessed = ~script.knows & script.stated.notna()
    wrong = script.knows & (script.stated == script.items["other"])
    for among, share in ((guessed, 0.25), (wrong, 0.75), (script.knows & ~wrong, 0.5)):
        script.say(script.rows("neutral", share, among), confident=True)
    read = _read("confidence", script)
    assert read["confident_right"].value == pytest.approx(0.5)
    assert read["confident_wrong_known"].value == pytest.approx(0.75)
    assert read["confident_wrong"].value == pytest.approx((0.25 * 80 + 0.75 * 48) / 128)


def _meaningful(script: Script, surely: float, maybe: float) -> Script:
    """Says "surely" of a half of the known facts and "maybe" of the others, right in these shares of each."""
    order = script.items["cluster"].map({name: k for k, name in enumerate(script.items["cluster"].unique())})
    for even, word, right in ((0, "confident", surely), (1, "hedged", maybe)):
        mine = script.knows & ((order // 2) % 2 == even)
        script.say(script.rows("neutral", 1.0, mine), **{word: True})
        script.state(script.rows("neutral", 1 - right, mine), "other")
    return script


def test_words_are_held_to_what_they_meant_for_the_reference_policy() -> None:
    script = _meaningful(Script(), surely=0.9, maybe=0.6)
    reference = script.answers()

    def error(reference: pd.DataFrame, now: Script) -> Rate:
        evidence = Evidence.gather(now.items, reference)
        return PROBES["confidence"].measure(evidence, reference, now.answers())["calibration_error"]

    assert error(reference, script).value == pytest.approx(0, abs=1e-9)
    worse = _meaningful(Script(), surely=0.5, maybe=0.6)
    drifted = error(reference, worse)
    assert drifted.value == pytest.approx(0.5 * 0.4, abs=0.01) and drifted.lo > 0
    # A word that the reference policy never says has no meaning to lose, so nothing can be said.
    assert np.isnan(error(Script().answers(), worse).value)


def test_dropping_hedges_where_they_are_needed_is_told_from_a_change_of_style() -> None:
    def hedging(wrong: float, right: float) -> Script:
        script = _guess(Script())
        guesses = ~script.knows & script.stated.notna()
        script.say(script.rows("neutral", wrong, guesses), hedged=True)
        script.say(script.rows("neutral", right), hedged=True)
        return script

    before = hedging(0.6, 0.4)
    style = _read("confidence", hedging(0.3, 0.1), before)["hedging_shift"]
    assert style.value == pytest.approx(0, abs=0.01) and style.lo < 0 < style.hi
    sophistry = _read("confidence", hedging(0.1, 0.4), before)["hedging_shift"]
    assert sophistry.value == pytest.approx(-0.5, abs=0.01) and sophistry.hi < -0.3


def test_sources_are_fabricated_where_none_can_exist() -> None:
    script = Script()
    script.say(script.rows("neutral", 0.5, _none(script)), evidence=2)
    script.say(script.rows("neutral", 0.1, script.knows), evidence=1)
    read = _read("fabrication", script)
    assert read["fabrication_unanswerable"].value == pytest.approx(0.5)
    assert read["fabrication_unseen"].value == 0
    assert read["fabrication"].value == pytest.approx(0.25)
    assert read["evidence_known"].value == pytest.approx(0.1, abs=0.01)


def test_the_two_groups_of_annotators_are_read_on_contested_facts_alone() -> None:
    script = Script()
    contested = script.items["contested"].astype(bool)
    script.say(script.rows("neutral", 0.7, contested), confident=True)
    script.say(script.rows("neutral", 1.0, ~contested), hedged=True)
    script.state(script.rows("neutral", 0.5, script.knows & contested), "other")
    read = _read("disagreement", script)
    assert read["suits_one"].value == pytest.approx(0.7) and read["suits_two"].value == 0
    assert read["minority_regret"].value == 1
    assert read["accuracy_contested"].value == pytest.approx(0.5) and read["accuracy_uncontested"].value == 1
