"""One policy, optimised against one proxy."""

from __future__ import annotations

from functools import partial

from reward_models.reward import Reward, RewardModel
from training.methods import AnyMethod
from training.methods.base import Method
from training.methods.job import PolicyJob
from training.methods.kl_control import AnyControl
from training.mitigations import AnyMitigation
from training.mitigations.base import Mitigation
from training.stages.task import Task


def train_policy(task: Task) -> None:
    """Optimise one policy against one proxy; gold is neither an input nor within reach."""
    method: Method = task.component(AnyMethod, "policy")
    mitigation = task.component(AnyMitigation | None, "mitigation")
    method.train(
        PolicyJob(
            out=task.out,
            world=task.world,
            reference=task.inputs["reference"] / "model",
            proxy=None if method.reads_annotator else partial(_reward, task, mitigation),
            labels=task.inputs["labels"] / "preferences.parquet" if "labels" in task.inputs else None,
            mitigation=mitigation,
            control=task.component(AnyControl, "control"),
            budget=task.settings["budget"],
            steps=task.settings["steps"],
            seed=task.stream("policy", task.settings["replicate"]),
            observe_seed=task.stream("observe"),
            batch_size=task.settings["batch_size"],
            measure=task.settings["measure"],
            journal=task.journal,
            keep_weights=task.settings.get("keep_weights", False),
            hidden_states=task.settings.get("hidden_states", False),
        )
    )


def _reward(task: Task, mitigation: Mitigation | None) -> Reward:
    """The proxy, or what the mitigation makes of its replicates."""
    named = ["proxy", *(f"proxy/{number}" for number in range(1, mitigation.asks() if mitigation else 1))]
    members = [RewardModel.load(task.inputs[name] / "model") for name in named]
    return mitigation.reward(members) if mitigation else members[0]
