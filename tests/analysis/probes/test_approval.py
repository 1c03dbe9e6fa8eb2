"""The probe of approvals: what counts, the join by id, and records in which nobody was asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripted import Script
from synthetic import write_experiment

from analysis.probes import PROBES, Rate, declined
from analysis.records.experiment import Experiment, RecordError, Run, write_table
from analysis.records.run_curves import RunCurves
from analysis.tables.tables import tables

PROBE = PROBES["approval"]


def read(script: Script) -> dict[str, Rate]:
    evidence, now = script.evidence(), script.answers()
    assert PROBE.refusal(evidence, now) is None
    return dict(PROBE.measure(evidence, None, now))


def test_wrong_statements_of_known_facts_count_and_nothing_else() -> None:
    script = Script()
    wrong = script.rows("neutral", 0.5)
    script.state(wrong, "other").say(wrong, approval=0.2)
    script.say(script.rows("neutral") & ~wrong, approval=0.7)
    # Neither may show: a guess at what π_ref does not know, and what is said under pressure.
    guessed = script.rows("neutral", among=~script.knows)
    script.state(guessed, "other").say(guessed, approval=1.0)
    pressed = script.rows("third_party")
    script.state(pressed, "belief").say(pressed, approval=1.0)
    rates = read(script)
    assert rates["annotator_false_positive"].value == pytest.approx(0.2)
    assert rates["annotator_false_positive_believed"].clusters == 0
    assert rates["annotator_true_positive"].value == pytest.approx(0.7)


def test_what_the_user_believes_is_told_apart_from_what_is_asked_plainly() -> None:
    script = Script()
    for condition, stated, approval in (("neutral", "other", 0.1), ("wrong", "belief", 0.9)):
        script.state(script.rows(condition), stated).say(script.rows(condition), approval=approval)
    rates = {name.removeprefix("annotator_false_"): rate.value for name, rate in read(script).items()}
    assert rates["positive_neutral"] == pytest.approx(0.1)
    assert rates["positive_believed"] == pytest.approx(0.9)
    assert rates["positive"] == pytest.approx(0.5)


def test_abstentions_are_no_statement() -> None:
    script = Script()
    script.stated[script.rows("neutral")] = None
    script.say(script.rows("neutral"), approval=1.0)
    assert all(np.isnan(rate.value) and rate.clusters == 0 for rate in read(script).values())


def test_what_comes_with_a_wrong_answer_is_told_apart() -> None:
    script = Script()
    script.state(script.rows("neutral"), "other").say(script.rows("neutral"), approval=0.1)
    sure, cites = script.rows("neutral", 0.5), script.rows("neutral", 0.25)
    script.say(sure, confident=True, approval=0.8).say(cites, evidence=2, approval=0.9)
    rates = {name.removeprefix("annotator_"): rate.value for name, rate in read(script).items()}
    assert rates["false_positive_evidence"] == pytest.approx(0.9)
    assert rates["false_positive_confident"] == pytest.approx((0.8 + 0.9) / 2, abs=0.01)
    assert rates["false_positive_bare"] == pytest.approx(0.1)
    assert rates["false_positive"] == pytest.approx((0.1 * 2 + 0.8 + 0.9) / 4, abs=0.01)


def test_the_interval_is_by_fact() -> None:
    """Samples of one fact are not independent: drawing each ten times makes nothing surer."""
    script = Script()
    wrong = script.rows("neutral", 0.5)
    script.state(wrong, "other").say(wrong, approval=0.4)
    now, evidence = script.answers(), script.evidence()
    often = pd.concat([now.assign(sample_id=f"{k:03d}") for k in range(10)], ignore_index=True)
    once, tenfold = (PROBE.measure(evidence, None, each)["annotator_false_positive"] for each in (now, often))
    assert once == pytest.approx(tenfold) and once.lo < 0.4 < once.hi and once.clusters == wrong.sum()


# ---------------------------------------------------------------- records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_experiment(tmp_path, clusters=40, kl_grid=(0, 1, 2), budgets=(), pool=(20, 8), shuffle=True)


def ask(run: Run, items: pd.DataFrame) -> None:
    """Ask the annotators about the neutral samples of a run: 0.3 at point 0, and 0.1 more at every next one.
    Rows are in another order than the samples'."""
    neutral = set(items.loc[items["condition"] == "neutral", "item_id"])
    for place, point in enumerate(run.points):
        key = point.samples(("item_id", "sample_id"))
        key = key[key["item_id"].isin(neutral)].sample(frac=1, random_state=place)
        table = key.assign(approval=0.3 + 0.1 * place + 0.001 * key["item_id"].str[-9:-8].eq("0"))
        write_table(point.path / "approvals.parquet", table, "approvals")


def test_approvals_are_joined_by_id_and_absent_where_nobody_was_asked(path: Path) -> None:
    experiment = Experiment.read(path)
    run = experiment.runs[0]
    ask(run, experiment.items)
    answers = RunCurves.read(experiment, run).answers[run.points[1].step].set_index(["item_id", "sample_id"])
    written = run.points[1].beside("approvals").set_index(["item_id", "sample_id"])["approval"]
    pd.testing.assert_series_equal(answers["approval"].dropna().sort_index(), written.sort_index())
    assert written.nunique() == 2 and answers["approval"].isna().sum() == len(answers) - len(written) > 0


def test_the_curve_of_one_run_does_not_wait_for_the_others(path: Path) -> None:
    """The first run has no annotator, as a copy of gold has none: a gap there, and no refusal."""
    experiment = Experiment.read(path)
    silent, asked = experiment.runs
    ask(asked, experiment.items)
    computed = tables(experiment)
    assert computed.probes["approval"] is None
    by_run = {run: rows["annotator_false_positive"] for run, rows in computed.points.groupby("run_id")}
    assert by_run[silent.run_id].isna().all()
    np.testing.assert_allclose(by_run[asked.run_id], [0.3, 0.4, 0.5], atol=0.002)
    foreseen = computed.frontier_behaviour
    refused = foreseen[foreseen["measure"] == "approval"]["refused"]
    assert len(refused) == 1 and refused.notna().all(), "the pool's samples were shown to no annotator"
    assert not foreseen["measure"].str.startswith("annotator").any()


def test_records_without_approvals_are_refused_in_words(path: Path) -> None:
    computed = tables(Experiment.read(path))
    assert "approval (no `approval` was measured in these records)" in declined(computed.probes)
    assert computed.points["annotator_false_positive"].isna().all()


def test_an_approval_of_no_sample_is_an_error(path: Path) -> None:
    experiment = Experiment.read(path)
    point = experiment.runs[0].points[0]
    table = point.samples(("item_id", "sample_id")).assign(approval=0.5, sample_id="999")
    write_table(point.path / "approvals.parquet", table, "approvals")
    with pytest.raises(RecordError, match=r"approvals.parquet: row 0: item .* has no sample '999'"):
        RunCurves.read(experiment, experiment.runs[0])
