"""A small experiment, and what its plan holds and redoes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Set
from typing import Any

from training.config.schema import Experiment
from training.engine.plan import plan
from training.engine.stage import Plan, Stage

BASE: dict[str, Any] = {
    "name": "base",
    "world": {"type": "quiz"},
    "gold": {"type": "trained", "pairs": 500},
    "annotator": {"type": "partial_verification"},
    "policy": {"type": "rloo"},
    "proxies": {"starved": {"pairs": 60}, "ample": {"pairs": 300}},
    "runs": {
        "path": {"control": {"type": "path", "kl": [0.1, 1.0]}},
        "budget": {"proxies": ["starved"], "control": {"type": "target", "budgets": [0.5, 1.0]}},
    },
    "best_of_n": {"prompts": 20, "samples": 16},
}


def planned(*changes: tuple[str, Any]) -> Plan:
    """The plan of `BASE` with dotted fields changed."""
    config = copy.deepcopy(BASE)
    for field, value in changes:
        *parents, last = field.split(".")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return plan(Experiment.model_validate(config))


def names(stages: Plan) -> dict[str, str]:
    return {stage.title: stage.name for stage in stages.stages}


def redone(*changes: tuple[str, Any]) -> set[str]:
    """Titles of the stages that have no artefact in the store of `BASE`."""
    have = {stage.name for stage in planned().stages}
    return {stage.title for stage in planned(*changes).stages if stage.name not in have}


ALL = set(names(planned()))
WORLD, REFERENCE, GOLD_BACKBONE = "world", "sft reference", "sft gold"
PATHS = {"rloo-path-starved", "rloo-path-ample"}
BUDGETS = {"rloo-budget-starved-kl0.5", "rloo-budget-starved-kl1"}
STARVED, AMPLE = {"rloo-path-starved", *BUDGETS}, {"rloo-path-ample"}
ON_REFERENCE = ALL - {WORLD, REFERENCE, GOLD_BACKBONE}


def policies(run_ids: Set[str]) -> set[str]:
    return {f"{stage} {run_id}" for stage in ("policy", "scores") for run_id in run_ids}


def proxy(name: str, run_ids: Set[str], *also: str) -> set[str]:
    """A proxy, what describes it, and everything optimised against or scored by it."""
    return {f"proxy {name}/0", f"card {name}/0", "audit", "scores best of n", *also} | policies(run_ids)


LABELLED = proxy("starved", STARVED, "labels starved/0") | proxy("ample", AMPLE, "labels ample/0")
POOL, KNOWN = {"pool", "scores best of n"}, {"reference", "scores reference"}
ON_GOLD = LABELLED | {"gold", "values proxies", "values heldout", "scores reference"}


def above(stage: Stage, *, through_labels: bool) -> Iterator[Stage]:
    """Everything a stage is made from, near and far."""
    for source in stage.inputs.values():
        yield source
        if through_labels or source.identity.stage != "labels":
            yield from above(source, through_labels=through_labels)
