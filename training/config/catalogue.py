"""What an experiment can be made of: every registered part, in one line each."""

from __future__ import annotations

import inspect
import pkgutil
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from reward_models.component import Component
from reward_models.registry import Registry

# Kind → where it is registered: a registry or a union of config variants, or a mapping from names; imported
# on demand.
REGISTRIES = {
    "worlds": "training.worlds:WORLDS",
    "models": "reward_models.backbone:AnyModel",
    "golds": "reward_models.gold:GOLDS",
    "annotators": "reward_models.annotators:ANNOTATORS",
    "methods": "training.methods:METHODS",
    "controls": "training.methods.kl_control:AnyControl",
    "mitigations": "training.mitigations:MITIGATIONS",
    "tables": "training.point_tables:POINT_TABLES",
    "probes": "analysis.probes:PROBES",
    "laws": "analysis.laws.forms:LAWS",
    "figures": "analysis.figures:FIGURES",
}


def catalogue() -> dict[str, dict[str, str]]:
    """Kind → name as written in a config → what it is, in registry order."""
    return {kind: dict(_parts(pkgutil.resolve_name(where))) for kind, where in REGISTRIES.items()}


def _parts(registry: Any) -> Iterator[tuple[str, str]]:
    if isinstance(registry, Mapping):
        for name, part in registry.items():
            yield name, part.description
        return
    if isinstance(registry, Registry):
        for name, part in registry.parts.items():
            yield name, _first_line(part)
        return
    for variant in _variants(registry):
        yield variant.model_fields["type"].default, _first_line(variant)


def _variants(union: Any) -> Iterator[type[Component]]:
    """The classes of `A`, `A | B` or `Annotated[A | B, ...]`."""
    if isinstance(union, type) and issubclass(union, Component):
        yield union
    elif typing.get_origin(union) is typing.Annotated:
        yield from _variants(typing.get_args(union)[0])
    else:
        for member in typing.get_args(union):
            yield from _variants(member)


def _first_line(documented: type) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]
