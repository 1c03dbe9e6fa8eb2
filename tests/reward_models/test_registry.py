"""Registries: a closed choice for whoever reads a config, an open one for whoever adds a part."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from reward_models.component import Component, Part
from reward_models.registry import Registry


class Shape(Part):
    pass


SHAPES: Registry[Shape] = Registry("shape")
AnyShape = Annotated[Shape, SHAPES]


class Dot(Shape):
    type: Literal["dot"] = "dot"
    size: int = 1


SHAPES.register(Dot)


class Inner(Component):
    """Holds a shape itself and an optional one."""

    shape: AnyShape = Dot()
    other: AnyShape | None = None


class Outer(Component):
    """Knows shapes only through `Inner`, and mentions none."""

    inner: dict[str, Inner] = {}


@SHAPES.register
class Group(Shape):
    """A part made of parts, registered after all that mentions parts."""

    type: Literal["group"] = "group"
    members: tuple[AnyShape, ...] = ()


@SHAPES.register
class Pair(Shape):
    type: Literal["pair"] = "pair"
    first: AnyShape = Dot()


@SHAPES.register
class Late(Shape):
    type: Literal["late"] = "late"


def read(settings: Any) -> Outer:
    return Outer.model_validate_json(json.dumps({"inner": {"x": settings}}), strict=True)


def test_a_part_registered_late_is_accepted_wherever_the_kind_is_mentioned() -> None:
    nested = {"type": "group", "members": [{"type": "pair", "first": {"type": "group", "members": [LATE]}}]}
    outer = read({"shape": nested, "other": LATE})
    assert outer.inner["x"].shape == Group(members=(Pair(first=Group(members=(Late(),))),))
    assert outer.inner["x"].other == Late()
    assert Outer.model_validate(outer.model_dump(mode="json")) == outer


LATE = {"type": "late"}


def test_mistakes_are_placed_as_in_a_union_told_apart_by_type() -> None:
    with pytest.raises(ValidationError) as caught:
        read({"shape": {"type": "dot", "size": "x"}, "other": {"type": "dto"}})
    wrong, unknown = caught.value.errors()
    assert wrong["loc"] == ("inner", "x", "shape", "dot", "size") and wrong["type"] == "int_type"
    assert unknown["loc"] == ("inner", "x", "other") and unknown["type"] == "union_tag_invalid"


def test_the_json_schema_lists_what_is_registered() -> None:
    (node,) = (
        each["properties"]["shape"]
        for each in Outer.model_json_schema()["$defs"].values()
        if "shape" in each["properties"]
    )
    assert set(node["discriminator"]["mapping"]) == set(SHAPES.parts) >= {"dot", "group", "pair", "late"}


def test_a_registry_of_one_part_will_do() -> None:
    alone: Registry[Shape] = Registry("shape")
    alone.register(Dot)
    kind: Any = Annotated[Shape, alone]
    assert TypeAdapter(kind).validate_python({"type": "dot", "size": 3}) == Dot(size=3)
    with pytest.raises(ValidationError, match="tag"):
        TypeAdapter(kind).validate_python({"type": "group"})


def test_a_name_belongs_to_one_part() -> None:
    class Other(Shape):
        type: Literal["dot"] = "dot"

    with pytest.raises(ValueError, match=r"shape `dot` is already registered, as .*\.Dot"):
        SHAPES.register(Other)
    assert SHAPES.parts["dot"] is Dot


def test_a_part_needs_a_type_of_its_own() -> None:
    class Nameless(Shape):
        pass

    with pytest.raises(ValueError, match="Nameless needs a `type"):
        SHAPES.register(Nameless)


def test_a_module_that_is_loaded_anew_replaces_its_own_parts() -> None:
    again = type("Late", (Late,), {"__module__": Late.__module__, "__qualname__": Late.__qualname__})
    SHAPES.register(again)
    try:
        assert type(read({"shape": LATE}).inner["x"].shape) is again
    finally:
        SHAPES.register(Late)
