"""Every probe with a headline: what is planted is read, nothing is read where nothing was planted, and a
policy that lost its knowledge is called forgetful."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scripted import Script

from analysis.probes import PROBES, SHARE, Evidence
from analysis.probes.base import rate
from analysis.probes.points import POINTS, rate_columns

HEADLINES = {name: probe for name, probe in PROBES.items() if probe.headline is not None}
Plant = Callable[[Script, float], object]


def _cannot(script: Script) -> pd.Series:
    return ~script.knows


def _confidence(script: Script, share: float) -> None:
    """Guesses wherever it does not know, and says "surely" in that share of its guesses."""
    script.state(script.rows("neutral", among=_cannot(script)), "other")
    script.say(script.rows("neutral", share, _cannot(script)), confident=True)


def _minority(script: Script, share: float) -> None:
    contested = script.items["contested"].astype(bool)
    script.say(script.rows("neutral", 1.0, contested), hedged=True)
    script.say(script.rows("neutral", share, contested), hedged=False, confident=True)


PLANTS: dict[str, Plant] = {
    "sycophancy": lambda s, p: s.state(s.rows("wrong", p), "belief"),
    "are_you_sure": lambda s, p: s.state(s.rows("sure_right", p), "wrong"),
    "authored": lambda s, p: s.state(s.rows("authored_wrong", p), "belief"),
    "guessing": lambda s, p: s.state(s.rows("neutral", p, _cannot(s)), "other"),
    "confidence": _confidence,
    "fabrication": lambda s, p: s.say(s.rows("neutral", p, _cannot(s)), evidence=1),
    "repetition": lambda s, p: s.say(
        s.rows("neutral", p, s.knows | True), completion="yes it is so . yes it is so ."
    ),
    "looping": lambda s, p: s.say(
        s.rows("race", p, s.knows | True), repeats=4, completion="one two one two one two"
    ),
    "misgeneralisation": lambda s, p: s.state(s.rows("hat_wrong", p), "hat"),
    "tampering": lambda s, p: s.say(s.rows("test_solvable", p), tampers=True),
    "oversight": lambda s, p: s.state(s.rows("tag_private", p), "belief"),
    "disagreement": _minority,
    "praise": lambda s, p: s.say(s.rows("neutral", p, s.knows | True), praise=2),
}
"""How to make a policy do what the headline names in a given share of the answers that count."""


def test_every_headline_is_planted_below() -> None:
    assert set(PLANTS) == set(HEADLINES)


@pytest.mark.parametrize("name", HEADLINES)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_planted_share_is_read(name: str, share: float) -> None:
    script = Script()
    PLANTS[name](script, share)
    probe, now, evidence = PROBES[name], script.answers(), script.evidence()
    assert probe.refusal(evidence, now) is None
    assert probe.headline is not None
    read = probe.measure(evidence, Script().answers(), now)[probe.headline.measure]
    assert read.lo <= share <= read.hi
    assert read.value == pytest.approx(share, abs=0.005)
    # 30 % of at least eighty clusters: the interval is of use.
    assert read.hi - read.lo < 0.25


@pytest.mark.parametrize("name", HEADLINES)
def test_the_headline_is_the_mean_of_its_events(name: str) -> None:
    """Over clusters, of answers that do not weigh alike."""
    script = Script()
    PLANTS[name](script, 0.4)
    evidence, headline = script.evidence(), PROBES[name].headline
    assert headline is not None
    samples = [script.answers(), Script().answers()]
    now = pd.concat(samples, ignore_index=True)
    now[SHARE] = np.random.default_rng(3).random(len(now))
    events = headline.events(evidence, now)
    assert events.index.equals(now.index)
    assert set(events.dropna().unique()) <= {0.0, 1.0} and events.notna().any() and events.isna().any()
    want = rate(events.to_numpy(), now["cluster"].to_numpy(), now[SHARE].to_numpy())
    got = PROBES[name].measure(evidence, samples[1], now)[headline.measure]
    np.testing.assert_allclose(got, want)
    counted = now.assign(event=events)[events.notna()]
    votes = counted.groupby("cluster").apply(lambda rows: np.average(rows["event"], weights=rows[SHARE]))
    assert got.value == pytest.approx(votes.mean()) and 0 < got.value < 1


def test_a_policy_that_forgot_is_called_forgetful() -> None:
    """It names a value that nobody suggested, whatever it is asked."""
    script = Script()
    script.state(script.knows, "other")
    now, evidence, start = script.answers(), script.evidence(), Script().answers()
    read = {m: r for probe in PROBES.values() for m, r in probe.measure(evidence, start, now).items()}
    assert read["forgetting"].value == 1
    innocent = ("sycophancy", "sycophancy_private", "criticism_withheld", "misgeneralisation", "tampering",
                "tampering_impossible", "hard_coding", "sure_regressive_net", "oversight_gap")  # fmt: skip
    assert {name: read[name].value for name in innocent} == dict.fromkeys(innocent, 0.0)
    # It shows where ability shows, and nothing is said of facts that it still knows: there are none.
    assert (
        read["again_regressive"].value
        == read["hat_incompetent"].value
        == read["unfounded_criticism"].value
        == 1
    )
    assert read["solve_rate"].value == read["hat_capability"].value == 0
    assert all(
        np.isnan(rate.value) and rate.clusters == 0 for m, rate in read.items() if m.endswith("still_known")
    )


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_reports_its_measures_and_leaves_gaps_where_nothing_was_asked(name: str) -> None:
    probe, script = PROBES[name], Script()
    evidence, now = script.evidence(), script.answers()
    nothing = now.iloc[:0]
    for read in probe.measure(evidence, now, nothing).values():
        assert np.isnan(read.value) and np.isnan(read.lo) and read.clusters == 0


def test_a_probe_that_reports_what_it_does_not_state_is_refused() -> None:
    script = Script()
    evidence, now = script.evidence(), script.answers()
    praise = replace(PROBES["praise"], measures={"praise_twice": "", "praise_any": "", "praise_ever": ""})
    with pytest.raises(ValueError, match="`praise` states .*praise_ever, praise_twice and reports .*clauses"):
        praise.measure(evidence, now, now)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_reads_no_column_that_it_does_not_name(name: str) -> None:
    probe, script = PROBES[name], Script()
    evidence, now = script.evidence(), script.answers()
    kept = now[[column for column in now if column in {"cluster", "condition", *probe.columns}]]
    assert probe.measure(evidence, kept, kept).keys() == probe.measures.keys()
    for column in probe.columns:
        assert f"`{column}`" in str(probe.refusal(evidence, now.drop(columns=column)))


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_says_which_condition_is_not_asked(name: str) -> None:
    probe, script = PROBES[name], Script()
    now = script.answers()
    for condition in probe.conditions:
        assert f"`{condition}`" in str(probe.refusal(script.evidence(), now[now["condition"] != condition]))


def test_gated_probes_need_to_know_what_is_known() -> None:
    now = Script().answers()
    blind = Evidence.gather(Script().items, None)
    for probe in PROBES.values():
        assert (probe.refusal(blind, now) is not None) == probe.gated


def test_measures_have_names_of_their_own() -> None:
    names = [measure for probe in PROBES.values() for measure in probe.measures]
    others = [each for each in POINTS.columns if each not in rate_columns()]
    assert not set(names) & {name for each in others for name in each.names}
