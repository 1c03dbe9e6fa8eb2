"""Settings of methods: what is refused before anything runs, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from places import SMOKE

from training.config.load import load
from training.config.remarks import remarks
from training.engine.plan import plan
from training.errors import UserError
from training.methods import BestOfN, BestOfNDistilled, Dpo, Kto
from training.methods.kl_control import PathControl as KLPath
from training.methods.kl_control import Target
from training.mitigations import RewardCap


def experiment(tmp_path: Path, **changes: Any) -> Any:
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(yaml.safe_load(SMOKE.read_text()) | changes))
    return load(tmp_path / "x.yaml", [])[0].config


TARGET = {"type": "target", "budgets": [0.3]}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"policy": {"type": "dpo"}, "control": TARGET}, "draws no rollouts"),
        ({"policy": {"type": "kto"}, "control": TARGET}, "draws no rollouts"),
        ({"policy": {"type": "best_of_n_distilled"}, "control": TARGET}, "draws no rollouts"),
        ({"policy": {"type": "online_dpo"}, "control": TARGET}, "not a price of KL"),
        ({"policy": {"type": "best_of_n"}, "control": {"type": "penalty"}}, "it has no β"),
        ({"policy": {"type": "best_of_n"}, "steps": 5}, "takes no gradient steps"),
        ({"policy": {"type": "dpo", "loss": "robust"}}, "needs label_smoothing above 0"),
        ({"policy": {"type": "dpo", "label_smoothing": 0.1}}, "means nothing to loss = sigmoid"),
        ({"policy": {"type": "dpo", "trainer": {"loss_type": ["ipo"]}}}, "field of its own"),
        ({"policy": {"type": "ppo", "checkpoint_every": 3}}, "is not a multiple of iterations"),
        ({"policy": {"type": "grpo", "prompts_per_step": 3, "generations": 3,
                     "trainer": {"gradient_accumulation_steps": 2}}}, "cannot be split"),
        ({"policy": {"type": "ppo", "trainer": {"num_iterations": 4}}}, "policy.iterations"),
        ({"policy": {"type": "best_of_n"}, "keep_weights": True}, "no weights but those of π_ref"),
        ({"control": TARGET, "keep_weights": True}, "reads paths: control.type is target"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_reason(
    tmp_path: Path, run: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match="runs.odd") as refusal:
        experiment(tmp_path, runs={"odd": run})
    assert expected in str(refusal.value)


def test_a_mitigation_that_would_do_nothing_is_refused(tmp_path: Path) -> None:
    runs = {"offline": {"policy": {"type": "dpo", "labels": "annotator"}}}
    with pytest.raises(UserError, match="never asks the proxy"):
        experiment(tmp_path, runs=runs, mitigation={"type": "reward_cap"})


@pytest.mark.parametrize("method", ["best_of_n", "best_of_n_distilled", "online_dpo"])
def test_a_monotone_shaping_is_refused_where_only_an_order_is_read(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"odd": {"policy": {"type": method}, "mitigation": {"type": "reward_cap"}}}
    experiment(tmp_path, runs=runs)  # a cap makes ties, and so acts in the order too
    monkeypatch.setattr(RewardCap, "seams", frozenset({"value"}))
    with pytest.raises(UserError, match="would do nothing in runs.odd.mitigation: it acts in the value, and"):
        experiment(tmp_path, runs=runs)
    experiment(tmp_path, runs={"odd": runs["odd"] | {"policy": {"type": "rloo"}}})


def test_proxies_that_could_not_make_different_policies_are_refused(tmp_path: Path) -> None:
    proxies: dict[str, Any] = {"one": {"pairs": 40}, "long": {"pairs": 40, "fit": {"epochs": 9}}}
    offline = {"policy": {"type": "dpo", "labels": "annotator"}}
    with pytest.raises(UserError, match="runs.odd would train the same policies"):
        experiment(tmp_path, proxies=proxies, runs={"odd": offline})
    experiment(tmp_path, proxies=proxies, runs={"odd": offline | {"proxies": ["one"]}, "path": {}})
    proxies["long"]["user_reliability"] = 0.9
    experiment(tmp_path, proxies=proxies, runs={"odd": offline})


def test_a_mitigation_without_a_plain_side_is_remarked_upon(tmp_path: Path) -> None:
    cap = {"type": "reward_cap"}
    everywhere = list(remarks(experiment(tmp_path, runs={"path": {}}, mitigation=cap)))
    assert len(everywhere) == 1 and "runs.path" in everywhere[0] and "in the runs that" in everywhere[0]
    capped = {"mitigation": cap}
    assert not list(remarks(experiment(tmp_path, runs={"path": {}, "capped": capped})))
    other = {"path": {"proxies": ["ample"]}, "capped": capped | {"proxies": ["starved"]}}
    assert len(list(remarks(experiment(tmp_path, runs=other)))) == 1


PENALTY = {"type": "agreement_penalty", "inverse_temperature": 2.0}


def test_a_mitigation_that_cannot_see_what_it_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"runs\.odd\.mitigation reads agrees, follows, which world `enumerable`"
    ):
        experiment(
            tmp_path,
            world={"type": "enumerable"},
            annotator={"type": "bradley_terry"},
            runs={"odd": {"mitigation": PENALTY}},
        )
    with pytest.raises(UserError, match="inverse_temperature: must be set"):
        experiment(tmp_path, runs={"odd": {"mitigation": {"type": "agreement_penalty"}}})


def test_hidden_states_need_the_prompts_that_they_are_read_at(tmp_path: Path) -> None:
    world = {"world": {"type": "enumerable"}, "annotator": {"type": "bradley_terry"}}
    with pytest.raises(UserError, match="measure.hidden_states reads neutral and wrong-belief prompts"):
        experiment(tmp_path, **world, measure={"hidden_states": True})


def test_a_run_group_may_have_a_mitigation_of_its_own_and_changes_no_other(tmp_path: Path) -> None:
    one = {run.row["run_id"]: run for run in plan(experiment(tmp_path, runs={"path": {}})).runs}
    runs = {"path": {}, "charged": {"mitigation": PENALTY}}
    both = {run.row["run_id"]: run for run in plan(experiment(tmp_path, runs=runs)).runs}
    assert {k: run.row["mitigation"] for k, run in both.items() if k.endswith("ample")} == {
        "rloo-path-ample": None,
        "rloo-charged-ample": "agreement_penalty",
    }
    for run_id, run in one.items():
        assert both[run_id].train.key == run.train.key
    assert both["rloo-charged-ample"].train.key != both["rloo-path-ample"].train.key


def test_a_run_group_may_have_a_method_of_its_own(tmp_path: Path) -> None:
    runs = {"base": {}, "own": {"policy": {"type": "dpo", "labels": "annotator"}}}
    planned = plan(experiment(tmp_path, runs=runs))
    methods = {run.row["run_id"]: (run.row["method"], set(run.train.inputs)) for run in planned.runs}
    common = {"world", "eval", "reference", "proxy"}
    assert methods == {
        "rloo-base-starved": ("rloo", common),
        "rloo-base-ample": ("rloo", common),
        "dpo-own-starved": ("dpo", common | {"labels"}),
        "dpo-own-ample": ("dpo", common | {"labels"}),
    }


def test_epochs_are_steps() -> None:
    assert Dpo(pairs=100, batch_size=32, epochs=2).steps == 7
    assert Kto(pairs=100, batch_size=32).steps == 7, "two examples of each pair"
    assert BestOfNDistilled(prompts=100, batch_size=50).steps == 2


def test_an_epoch_of_the_annotators_pairs_is_one_pass_over_those_that_there_are(tmp_path: Path) -> None:
    def steps(**settings: Any) -> dict[str, int]:
        policy = {"batch_size": 10, "epochs": 2, **settings}
        planned = plan(experiment(tmp_path, runs={"x": {"policy": policy}}))
        return {run.row["proxy"]: run.train.settings["steps"] for run in planned.runs}

    pairs = {"starved": 60, "ample": 300}
    assert steps(type="dpo", labels="annotator") == {name: 2 * n // 10 for name, n in pairs.items()}
    assert steps(type="kto", labels="annotator") == {name: 4 * n // 10 for name, n in pairs.items()}
    assert steps(type="dpo", labels="annotator", pairs=40) == {"starved": 8, "ample": 8}
    assert steps(type="dpo", labels="proxy", pairs=400) == {"starved": 80, "ample": 80}, "fresh pairs"


def test_best_of_n_takes_the_smallest_n_that_spends_the_kl() -> None:
    method = BestOfN(samples=64)
    # log n − (n − 1)/n is .19 at 2, .64 at 4, 1.83 at 16; only n ≤ 64 / 4 can be known.
    assert method.sizes(KLPath(kl=(0.1, 0.19, 0.6, 1.8, 9.0)), None) == [2, 4, 16]
    assert method.sizes(Target(), 0.6) == [4]
