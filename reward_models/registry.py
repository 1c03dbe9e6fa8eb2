"""Registries: the variants that a part of a config can be, known by their `type`.

A registry stands in the `__init__` of its package, and nothing else does: the code identity of a stage passes
over such a module and takes the one variant that the config chose.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reward_models.component import Component, Part

PartT = TypeVar("PartT", bound=Part)


class Registry(Generic[PartT]):
    """The variants of one kind of part; `Annotated[Base, REGISTRY]` is a field that takes any of them.

    To a type checker such a field is a `Base`, to pydantic a union told apart by `type`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        """What one variant is called in a message: "annotator"."""
        self.parts: dict[str, type[PartT]] = {}
        """Variants by their `type`, in the order in which they were registered."""

    def register(self, part: type[PartT]) -> type[PartT]:
        """Add a variant; also a class decorator. Returns `part`.

        Registered again, a class (of a module that was loaded anew) takes its own former place.

        Raises:
            ValueError: `part` has no literal `type` of its own, or another variant has it.
        """
        name = part.model_fields["type"].default
        if not isinstance(name, str):
            raise ValueError(f'{part.__qualname__} needs a `type: Literal["..."] = "..."` of its own')
        known = self.parts.get(name)
        if known is not None and _address(known) != _address(part):
            raise ValueError(f"{self.kind} `{name}` is already registered, as {'.'.join(_address(known))}")
        self.parts[name] = part
        _rebuild(self)
        return part

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(part) for name, part in self.parts.items()}
        return core_schema.tagged_union_schema(choices, discriminator="type")


def _address(part: type) -> tuple[str, str]:
    return part.__module__, part.__qualname__


def _rebuild(registry: Registry[Any]) -> None:
    """Let every config class know that `registry` has changed, those that stand inside others first."""
    mentions: dict[type[Component], bool] = {}

    def look(annotation: Any) -> bool:
        if isinstance(annotation, Registry):
            inside = [look(part) for part in annotation.parts.values()]
            return annotation is registry or any(inside)
        if isinstance(annotation, type) and issubclass(annotation, Component):
            if annotation not in mentions:
                mentions[annotation] = False  # until its fields are known: a part may stand inside itself
                fields = annotation.model_fields.values()
                inside = [look(each) for field in fields for each in (field.annotation, *field.metadata)]
                mentions[annotation] = any(inside)
                if mentions[annotation]:
                    annotation.model_rebuild(force=True)
            return mentions[annotation]
        return any([look(argument) for argument in typing.get_args(annotation)])  # noqa: C419 - every one is looked at

    for component in _below(Component):
        look(component)


def _below(base: type[Component]) -> Iterator[type[Component]]:
    for component in base.__subclasses__():
        yield component
        yield from _below(component)
