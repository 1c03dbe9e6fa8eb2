"""Stages that cost nothing: each writes a letter, or all that its inputs wrote, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.engine.stage import Plan, Stage
from training.stages.task import Task

RAN: list[str] = []
"""Labels of the stages that ran in this process, in order."""


def write(task: Task) -> None:
    """The setting `text` in lower case: "A" and "a" are two settings and one result."""
    RAN.append(task.settings["label"])
    (task.out / "text").write_text(str(task.settings["text"]).lower())
    task.journal(1, 1, {})


def join(task: Task) -> None:
    """What all inputs wrote, by the inputs' names."""
    RAN.append(task.settings["label"])
    (task.out / "text").write_text(
        "".join((task.inputs[k] / "text").read_text() for k in sorted(task.inputs))
    )


def letter(label: str, text: str, code: str = "1") -> Stage:
    return _stage("write", label, {"text": text}, {}, code)


def joined(label: str, code: str = "1", **inputs: Stage) -> Stage:
    return _stage("join", label, {}, inputs, code)


def plan(*stages: Stage) -> Plan:
    return Plan(stages=list(stages))


def _stage(
    function: str, label: str, settings: Mapping[str, Any], inputs: Mapping[str, Stage], code: str
) -> Stage:
    run = f"letters:{function}"
    return Stage(
        "labels", {**settings, "label": label}, run, {"letters": code}, label, inputs, gold_side=True
    )
