"""Why stages failed, in the words of the one that began it."""

from __future__ import annotations

from training.engine.executor import State
from training.engine.stage import Plan, Stage


def why(stage: Stage, state: State) -> str:
    """What its own failure says, or the first failure among what it needed."""
    first = _first(stage, state)
    message = state.failed[first.key].message
    return message if first is stage else f"{first.title} failed: {message}"


def failures(plan: Plan, state: State) -> dict[str, str]:
    """Title and reason of the stages that failed and belong to no single run."""
    of_runs = {stage.key for run in plan.runs for stage in run.stages}
    return {
        stage.title: why(stage, state)
        for stage in plan.stages
        if stage.key in state.failed and stage.key not in of_runs
    }


def _first(stage: Stage, state: State) -> Stage:
    failed = next((source for source in stage.inputs.values() if source.key in state.failed), None)
    return _first(failed, state) if failed else stage
