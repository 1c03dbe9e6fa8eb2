"""Which of a plan's stages the store holds already. An artefact is named by what its inputs hold, so this is
found out in the order of the plan."""

from __future__ import annotations

from collections.abc import Mapping

from training.engine.stage import Plan, Stage
from training.store.artefacts import Artefact, Store
from training.store.identity import Identity


def identity_of(stage: Stage, done: Mapping[str, Artefact]) -> Identity | None:
    """What names a stage's artefact; None as long as an input is missing. `done`: key → artefact."""
    if any(each.key not in done for each in stage.inputs.values()):
        return None
    return stage.identity({name: done[each.key].content for name, each in stage.inputs.items()})


def stored(plan: Plan, store: Store) -> dict[str, Artefact]:
    """Key → artefact, of every stage that need not run."""
    done: dict[str, Artefact] = {}
    for stage in plan.stages:
        identity = identity_of(stage, done)
        if identity and (artefact := store.find(identity)):
            done[stage.key] = artefact
    return done
