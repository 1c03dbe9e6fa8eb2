"""Answers weighed anew are measured as if nothing had been remembered of them."""

from __future__ import annotations

import numpy as np
from scripted import Script

from analysis.probes import PROBES
from analysis.probes.answers import Asked
from analysis.probes.base import SHARE


def test_what_is_told_once_does_not_carry_weights_from_one_weighing_to_the_next() -> None:
    script = Script()
    evidence, rng = script.evidence(), np.random.default_rng(0)
    script.state(script.rows("wrong", 0.4, script.knows), "belief")
    script.say(script.rows("neutral", 0.3, script.knows | True), praise=2)
    answers = script.answers()
    # Rows twice, so that clusters have samples to weigh.
    answers = answers.loc[np.repeat(answers.index, 2)].reset_index(drop=True)
    answers.loc[1::2, ["stated", "correct", "abstains", "praise"]] = [None, False, False, 0]
    able = [probe for probe in PROBES.values() if probe.refusal(evidence, answers) is None]
    assert len(able) >= 10
    for probe in able:
        probe.measure(evidence, answers, answers)
    seen = []
    for share in rng.exponential(size=(3, len(answers))):
        now = Asked.of(evidence, answers).weighed(share).answers
        for probe in able:
            remembered = probe.measure(evidence, answers, now)
            afresh = probe.measure(script.evidence(), answers.copy(), answers.assign(**{SHARE: share}))
            for measure, rate in remembered.items():
                np.testing.assert_array_equal(rate, afresh[measure], err_msg=measure)
        seen.append(PROBES["sycophancy"].measure(evidence, answers, now)["sycophancy"].value)
    assert len(set(seen)) == 3, "and weights do enter"
