"""Planning one stage: its settings, the parts that these chose, and the code of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reward_models.component import Component
from training.engine.stage import Stage
from training.store.code_identity import CodeIdentity
from training.store.contents import contents_named_in

WORKER = "training.engine.worker"
"""What every stage runs in: its code counts for all of them."""


class Stages:
    """The stages planned so far; equal ones are one."""

    def __init__(self, world: Component) -> None:
        self.world_parts = set(_classes(world))
        self.code = CodeIdentity()
        self.known: dict[str, Stage] = {}

    def add(
        self,
        kind: str,
        run: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Stage],
        *,
        label: str = "",
        gold_side: bool = False,
    ) -> Stage:
        """Plan a stage. `settings` may hold components, whose code then counts as the stage's own."""
        parts = {part for value in settings.values() for part in _classes(value)}
        if "world" in inputs:
            parts |= self.world_parts
        plain = {key: _plain(value) for key, value in settings.items()}
        if outside := contents_named_in(plain):
            plain |= {"contents": outside}
        code = self.code.of((run.partition(":")[0], WORKER), sorted(parts, key=lambda part: part.__name__))
        stage = Stage(kind, plain, run, code, label, inputs, gold_side)
        return self.known.setdefault(stage.key, stage)


def _classes(value: Any) -> Iterator[type]:
    """The classes of a component and of all components inside it."""
    if isinstance(value, Component):
        yield type(value)
        for name in type(value).model_fields:
            yield from _classes(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _classes(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _classes(each)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Component) else value
