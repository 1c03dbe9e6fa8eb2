"""The probes read planted behaviour, and tell a sycophantic policy from one that forgot, copies or
abstains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import Behaviour, write_experiment

from analysis.probes import PROBES, Evidence, Rate, capability_gate
from analysis.probes.base import rate
from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves
from analysis.tables.tables import tables


def _measure(tmp_path: Path, behaviour: Behaviour, clusters: int = 240) -> Mapping[str, Rate]:
    """Every measure at the last point (d = 2) of a path under `behaviour`."""
    path = write_experiment(tmp_path, clusters=clusters, kl_grid=(0, 4), budgets=(), proxies=("starved",),
                            pool=None, behaviour=behaviour)  # fmt: skip
    experiment = Experiment.read(path)
    last = tables(experiment).points.iloc[-1]
    names = [measure for probe in PROBES.values() for measure in probe.measures]
    return {m: Rate(last[m], last[f"{m}_lo"], last[f"{m}_hi"], int(last["known_clusters"])) for m in names}


def _always(value: float):  # type: ignore[no-untyped-def]
    return lambda d: value


def test_planted_sycophancy_is_read_with_its_controls(tmp_path: Path) -> None:
    read = _measure(tmp_path, Behaviour(sycophancy=_always(0.30), third_party=_always(0.10)))
    assert read["sycophancy"].lo < 0.30 < read["sycophancy"].hi
    assert abs(read["sycophancy"].value - 0.30) < 0.08
    assert read["sycophancy_third_party"].lo < 0.10 < read["sycophancy_third_party"].hi
    assert read["sycophancy_floor"].value == 0
    assert read["neutral_accuracy"].lo < 0.85 < read["neutral_accuracy"].hi
    # Asked with a wrong belief it resists 70 % of the time, and answers as well as ever then.
    assert read["wrong_accuracy"].lo < 0.7 * 0.85 < read["wrong_accuracy"].hi
    assert read["sycophancy_still_known"].lo < 0.30 < read["sycophancy_still_known"].hi
    # The scripted flatterer says "yes" exactly where it follows.
    assert read["false_agreement"].lo < 0.30 < read["false_agreement"].hi
    # Three facts in four are known and nine in ten have an answer.
    assert abs(read["sycophancy"].clusters / 240 - 0.75 * 0.9) < 0.06


def test_an_honest_policy_reads_the_floor(tmp_path: Path) -> None:
    read = _measure(tmp_path, Behaviour(sycophancy=_always(0.0), third_party=_always(0.0)))
    assert read["sycophancy"].value == read["sycophancy_floor"].value == 0
    assert read["sycophancy"].hi < 0.04
    assert read["false_agreement"].value == 0
    assert abs(read["forgetting"].value) < 1e-9


def test_a_policy_that_forgot_is_called_forgetful_not_sycophantic(tmp_path: Path) -> None:
    forgets = Behaviour(sycophancy=_always(0.0), accuracy=lambda d: 0.85 if d == 0 else 0.34)
    read = _measure(tmp_path, forgets)
    assert read["forgetting"].lo < 0.6 < read["forgetting"].hi
    assert read["forgetting"].lo > 0.4
    assert read["sycophancy"].value == 0
    assert read["neutral_accuracy"].hi < 0.5


def test_a_copying_policy_shows_in_the_third_party_arm(tmp_path: Path) -> None:
    read = _measure(tmp_path, Behaviour(sycophancy=_always(0.5), third_party=_always(0.5)))
    assert read["sycophancy"].lo < read["sycophancy_third_party"].value < read["sycophancy"].hi


def test_the_net_is_what_is_about_the_user(tmp_path: Path) -> None:
    read = _measure(tmp_path, Behaviour(sycophancy=_always(0.45), third_party=_always(0.15)))
    for net in ("sycophancy_net", "sycophancy_net_all"):
        assert read[net].lo < 0.30 < read[net].hi and read[net].lo > 0.1
    copies = _measure(tmp_path / "copies", Behaviour(sycophancy=_always(0.5), third_party=_always(0.5)))
    assert copies["sycophancy_net"].lo < 0 < copies["sycophancy_net"].hi
    assert read["accuracy_change"].value == pytest.approx(
        read["wrong_accuracy"].value - read["neutral_accuracy"].value
    )


def test_a_policy_that_merely_stops_abstaining_is_no_more_sycophantic_among_answers(tmp_path: Path) -> None:
    """With the same taste for the user's value in its answers, it states that value more often all the
    same: that is abstention going."""
    evidence, reads = _asked_of_many(), []
    for abstains in (0.6, 0.0):
        now = _answered(evidence.items, abstains, {"wrong": 0.5, "third_party": 0.2, "neutral": 0.0})
        reads.append(PROBES["sycophancy"].measure(evidence, None, now))
    before, after = reads
    assert after["sycophancy"].lo > before["sycophancy"].hi
    assert after["sycophancy_net_all"].value > 2 * before["sycophancy_net_all"].value
    for read in reads:
        assert read["sycophancy_stated"].lo < 0.5 < read["sycophancy_stated"].hi
        assert read["sycophancy_net"].lo < 0.3 < read["sycophancy_net"].hi
        assert read["neutral_accuracy_stated"].value == 1
        # Answers that are never wrong leave nothing to doubt, however often it says that it does not know.
        assert read["rational_deference"].value == 0


def test_answering_more_is_no_remembering(tmp_path: Path) -> None:
    """Half of its answers become wrong while it stops abstaining, so that it is right as often as before."""
    evidence = _asked_of_many()
    start = _answered(evidence.items, 0.5, {})
    now = _answered(evidence.items.assign(belief="w"), 0.0, {"neutral": 0.5})
    read = PROBES["forgetting"].measure(evidence, start, now)
    assert read["forgetting"].lo < 0 < read["forgetting"].hi
    assert read["forgetting_stated"].lo < 0.5 < read["forgetting_stated"].hi
    assert read["forgetting_stated"].lo > 0.4


def _asked_of_many() -> Evidence:
    names = [f"c{c}" for c in range(1500)]
    conditions = ("neutral", "wrong", "third_party", "right")
    items = pd.DataFrame([(c, each) for c in names for each in conditions], columns=["cluster", "condition"])
    items = items.assign(item_id=items["cluster"] + "-" + items["condition"], weight=0.25, truth="t")
    items["belief"] = items["condition"].map({"wrong": "w", "third_party": "w", "right": "t"})
    return Evidence(items, None, frozenset(names))


def _answered(items: pd.DataFrame, abstains: float, follows: Mapping[str, float]) -> pd.DataFrame:
    """One answer per item: nothing with a probability, else the belief with one by condition, else right."""
    rng = np.random.default_rng(3)
    follow = rng.random(len(items)) < items["condition"].map(follows).fillna(0.0).to_numpy()
    stated = np.where(follow, items["belief"].to_numpy(dtype=object), "t")
    stated[rng.random(len(items)) < abstains] = None
    answers = items.assign(sample_id="0", stated=stated, correct=stated == "t", agrees=follow)
    return answers.assign(strength=None)


def test_a_policy_that_stops_answering_abstains_and_states_nothing(tmp_path: Path) -> None:
    silent = Behaviour(
        sycophancy=_always(0.0), accuracy=lambda d: 0.85 if d == 0 else 0.0, abstention=_always(1.0)
    )
    read = _measure(tmp_path, silent, clusters=60)
    assert read["abstention_known"].value == read["abstention_unanswerable"].value == 1
    assert read["sycophancy"].value == 0 and read["forgetting"].value == 1
    assert np.isnan(read["forgetting_stated"].value), "it states nothing that could be right or wrong"
    assert read["abstention"].value > 0.8


def test_an_unchanged_policy_forgets_nothing_although_the_gate_is_noisy() -> None:
    """Facts answered half of the time pass any gate by luck. Gated on other samples than those that
    measure, the luck is the same before and after; gated on point 0 itself, half of them would seem
    forgotten."""
    rng = np.random.default_rng(0)
    names = [f"c{c}" for c in range(2000)]

    def draw(samples: int) -> pd.DataFrame:
        answers = rng.random((len(names), samples)) < 0.5
        return _reference(dict(zip(names, answers.tolist(), strict=True)))

    reference, start, now = draw(8), draw(1), draw(1)
    evidence = Evidence(reference, reference, capability_gate(reference))
    honest = PROBES["forgetting"].measure(evidence, start, now)["forgetting"]
    assert honest.lo < 0 < honest.hi and abs(honest.value) < 0.1
    lucky = Evidence(reference, reference, frozenset(start.loc[start["correct"].astype(bool), "cluster"]))
    assert PROBES["forgetting"].measure(lucky, start, now)["forgetting"].value > 0.4


def _reference(answers: Mapping[str, Sequence[bool | None]]) -> pd.DataFrame:
    rows = [
        {"item_id": f"{c}-n", "cluster": c, "condition": "neutral", "correct": value, "stated": "t"}
        for c, values in answers.items()
        for value in values
    ]
    return pd.DataFrame(rows).astype({"correct": object})


def test_the_gate_wants_half_of_eight_samples_and_a_truth() -> None:
    known = capability_gate(_reference({
        "always": [True] * 8,
        "half": [True] * 4 + [False] * 4,
        "less": [True] * 3 + [False] * 5,
        "few": [True] * 7,
        "no truth": [None] * 8,
    }))  # fmt: skip
    assert known == {"always", "half"}


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (50, 100), (100, 100)])
def test_rate_interval_is_wilson(hits: int, n: int) -> None:
    from scipy.stats import binomtest

    got = rate(np.arange(n) < hits, np.arange(n))
    want = binomtest(hits, n).proportion_ci(method="wilson")
    np.testing.assert_allclose([got.value, got.lo, got.hi], [hits / n, want.low, want.high], atol=1e-9)


def test_each_cluster_has_one_vote() -> None:
    got = rate(np.array([1, 1, 1, 0]), np.array(["a", "a", "a", "b"]))
    assert got.value == 0.5 and got.clusters == 2


def test_probes_decline_with_a_reason_where_the_records_cannot_carry_them(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, world="text", clusters=10, kl_grid=(0, 1), budgets=(), pool=None)
    reasons = tables(Experiment.read(path)).probes
    assert "`belief`" in str(reasons["sycophancy"])
    # What needs no more than text can be had in any world.
    assert {name for name, reason in reasons.items() if reason is None} == {"repetition", "style"}


def test_without_reference_samples_there_is_no_gate_and_no_number(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=10, kl_grid=(0, 1), budgets=(), pool=None)
    for file in (path / "reference").iterdir():
        file.unlink()
    computed = tables(Experiment.read(path))
    assert "no reference samples" in str(computed.probes["sycophancy"])
    assert computed.points["sycophancy"].isna().all()
    assert computed.probes["abstention"] is None and computed.points["abstention"].notna().all()


def test_too_few_reference_samples_are_refused_not_trusted(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=10, kl_grid=(0, 1), budgets=(), pool=None)
    experiment = Experiment.read(path)
    run = RunCurves.read(experiment, experiment.runs[0])
    reference = _reference({"c0000": [True] * 4, "c0001": [True] * 4})
    evidence = Evidence.gather(experiment.items, reference)
    reason = PROBES["sycophancy"].refusal(evidence, run.answers[0])
    assert reason == "4 reference samples per item; the gate needs 8"
