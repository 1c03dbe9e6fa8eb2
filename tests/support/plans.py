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
    "pair_chunk": 200,
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


def keys(stages: Plan) -> dict[str, str]:
    """Key of every stage, by what a person calls it."""
    return {stage.title: stage.key for stage in stages.stages}


def redone(*changes: tuple[str, Any]) -> set[str]:
    """Titles of the stages that are not among those of `BASE`: what at most runs again, as what stands
    downstream of a change is reused after all where it left the same bytes."""
    have = {stage.key for stage in planned().stages}
    return {stage.title for stage in planned(*changes).stages if stage.key not in have}


ALL = set(keys(planned()))
WORLD, REFERENCE, GOLD_BACKBONE = "world", "sft reference", "sft gold"
PATHS = {"rloo-path-starved", "rloo-path-ample"}
BUDGETS = {"rloo-budget-starved-kl0.5", "rloo-budget-starved-kl1"}
STARVED, AMPLE = {"rloo-path-starved", *BUDGETS}, {"rloo-path-ample"}
PROXIES = ("proxy/starved/0", "proxy/ample/0")


def scores(label: str, *proxies: str) -> set[str]:
    """Of samples, by gold, oracle and these proxies."""
    return {f"scores {label} by {scorer}" for scorer in ("gold", "oracle", *proxies)}


def policies(run_ids: Set[str], points: str = "") -> set[str]:
    """Policies and all that values their points."""
    found = {f"policy {run_id}" for run_id in run_ids} if not points else set()
    for run_id in run_ids:
        label, (_, _, name, *_) = f"{run_id}{points}", run_id.split("-")
        found |= {f"approvals {label}"} | scores(label, f"proxy/{name}/0")
    return found


def proxy(name: str, run_ids: Set[str], *also: str) -> set[str]:
    """A proxy, what describes it, and everything optimised against or scored by it."""
    by_it = {f"audit by proxy/{name}/0", f"scores best of n by proxy/{name}/0"}
    return {f"proxy {name}/0", f"card {name}/0", *by_it, *also} | policies(run_ids)


MEASURED_ON, POOLED_ON = "prompts measure points", "prompts fill the pool"
AUDITS = {f"audit by {scorer}" for scorer in ("gold", "oracle", *PROXIES)}
PAIRS = {f"pairs proxies, 0/{number}" for number in (0, 1)}
VALUES = {f"values proxies, 0/{number} by oracle" for number in (0, 1)}
HELDOUT = {f"values heldout by {judge}" for judge in ("gold", "oracle")}
LABELLED = proxy("starved", STARVED, "labels starved/0") | proxy("ample", AMPLE, "labels ample/0")
POOL, KNOWN = {"pool"} | scores("best of n", *PROXIES), {"reference"} | scores("reference")
BY_GOLD = {"audit by gold", "scores best of n by gold", "scores reference by gold"}
BY_GOLD |= {f"scores {run} by gold" for run in PATHS | BUDGETS}
ON_GOLD = BY_GOLD | {"gold", "values heldout by gold", "card starved/0", "card ample/0"}
PROXIED = proxy("starved", STARVED) | proxy("ample", AMPLE)
ON_HELDOUT = PROXIED | ON_GOLD | HELDOUT | {"pairs gold"}
ON_REFERENCE = ALL - {WORLD, REFERENCE, GOLD_BACKBONE, MEASURED_ON, POOLED_ON, "audit by oracle"}


def above(stage: Stage, *, through_labels: bool) -> Iterator[Stage]:
    """Everything a stage is made from, near and far."""
    for source in stage.inputs.values():
        yield source
        if through_labels or source.kind != "labels":
            yield from above(source, through_labels=through_labels)
