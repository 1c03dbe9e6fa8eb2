"""Ways of saying the same thing give the same artefacts; a policy depends on nothing but its own inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from experiments import planned
from places import SMOKE

from training.engine.stage import Plan


def by_title(plan: Plan) -> dict[str, str]:
    """Keys by what a person calls the stage."""
    titles = [stage.title for stage in plan.stages]
    assert len(set(titles)) == len(titles)
    return {stage.title: stage.key for stage in plan.stages}


@pytest.fixture
def rewritten(tmp_path: Path) -> Any:
    """The plan of configs/smoke.yaml after a change to its content."""

    def plan(change: Any) -> Plan:
        config = yaml.safe_load(SMOKE.read_text())
        change(config)
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return planned(config=path)

    return plan


@pytest.mark.parametrize(
    "override",
    [
        "workers=1",
        "name=another",
        "paths.runs=elsewhere",
        "paths.store=elsewhere",
        "tracking.mode=offline",
        "tracking.project=other",
    ],
)
def test_what_is_no_part_of_identity_changes_no_artefact(override: str) -> None:
    assert by_title(planned(override)) == by_title(planned())


@pytest.mark.parametrize(
    ("overrides", "change"),
    [
        (["seed=3"], {"seed": 3}),
        (["policy.beta=0.05", "policy.steps=9"], {"policy": {"beta": 0.05, "steps": 9}}),
        (["gold.fit.epochs=2"], {"gold": {"fit": {"epochs": 2}}}),
        (["policy.learning_rate=1e-3"], {}),
        (["policy.learning_rate=0.001"], {}),
        (["policy.beta=0"], {}),
        (["runs.path.control.kl=[0.05,0.2,1]"], {}),
        (["runs.path.seeds=1", "runs.path.proxies=[starved,ample]"], {}),
    ],
)
def test_an_override_is_the_same_as_the_file(rewritten: Any, overrides: list[str], change: Any) -> None:
    def merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                merge(target[key], value)
            else:
                target[key] = value

    written = by_title(rewritten(lambda config: merge(config, change)))
    assert by_title(planned(*overrides)) == written
    assert (written == by_title(planned())) == (not change)


def test_the_order_of_runs_and_proxies_does_not_matter(rewritten: Any) -> None:
    def reverse(config: dict[str, Any]) -> None:
        for part in ("runs", "proxies"):
            config[part] = dict(reversed(config[part].items()))

    assert by_title(rewritten(reverse)) == by_title(planned())


def test_files_that_compose_are_the_same_as_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SMOKE.read_text())
    (tmp_path / "child.yaml").write_text("defaults: [base, _self_]\npolicy: {beta: 0.05}\n")
    assert by_title(planned(config=tmp_path / "child.yaml")) == by_title(planned("policy.beta=0.05"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["~runs.budget"],
        ["runs.budget.control.budgets=[0.1,0.3,0.9]"],
        ["runs.path.seeds=1", "best_of_n.samples=32"],
        ["runs.path.proxies=[ample]"],
        ["proxies.starved.fit.epochs=5", "runs.path.proxies=[ample]", "runs.budget.proxies=[ample]"],
    ],
)
def test_other_runs_of_an_experiment_change_no_policy(overrides: list[str]) -> None:
    before, after = by_title(planned()), by_title(planned(*overrides))
    shared = [title for title in before.keys() & after.keys() if title.startswith("policy")]
    assert shared
    assert [title for title in shared if before[title] != after[title]] == []


def test_two_proxies_in_one_experiment_or_in_two(rewritten: Any) -> None:
    """Each alone is what it is beside the other, of whatever size."""

    def only(name: str, other: str) -> dict[str, str]:
        def without_other(config: dict[str, Any]) -> None:
            del config["proxies"][other], config["runs"]["budget"]

        return by_title(rewritten(without_other))

    both = by_title(planned())
    for alone, name in ((only("ample", "starved"), "ample"), (only("starved", "ample"), "starved")):
        scores = [f"scores rloo-path-{name} by {scorer}" for scorer in ("gold", "oracle", f"proxy/{name}/0")]
        for title in (f"proxy {name}/0", f"policy rloo-path-{name}", *scores, "gold"):
            assert alone[title] == both[title]


def test_replicates_are_not_each_other() -> None:
    plan = planned("proxies.ample.seeds=2", "runs.path.seeds=2", "seed=1")
    names = [stage.key for stage in plan.stages]
    assert len(set(names)) == len(names) == len(plan.stages)
    assert len({run.train.key for run in plan.runs}) == len(plan.runs) == 2 * 3 + 1
