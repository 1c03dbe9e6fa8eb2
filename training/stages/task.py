"""What a stage's function is given: its settings, its inputs on disk, and where to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from training.store.journal import Journal
from training.streams import stream
from training.worlds.built_world import BuiltWorld


@dataclass(frozen=True)
class Task:
    """One stage at work. The result is a pure function of `settings` and the contents of `inputs`."""

    out: Path
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    journal: Journal

    def component(self, kind: Any, key: str) -> Any:
        """The component described by `settings[key]`, an instance of `kind` (a class or a union)."""
        return TypeAdapter(kind).validate_python(self.settings[key])

    def stream(self, role: str, *index: int | str) -> int:
        """Seed of a named random stream of the experiment."""
        return stream(self.settings["seed"], role, *index)

    @cached_property
    def world(self) -> BuiltWorld:
        """The world, with the measured prompts that are inputs of this stage."""
        measured = {role: self.inputs[role] for role in ("eval", "pool") if role in self.inputs}
        return BuiltWorld(self.inputs["world"], measured)
