"""Settings laid over one another: the files of a `defaults:` list in their order, then the command line.

Maps merge. Three things replace what lies below instead: another `type`, since the settings of one variant
mean nothing to the next; an empty map; and a map with `_replace_: true`. Lists and values always do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.config.messages import Schema
from training.config.yaml_files import KeyPath, Place
from training.errors import UserError

REPLACE = "_replace_"


@dataclass(frozen=True)
class Layer:
    """The settings of one file, or of the command line, and where each was written."""

    values: Mapping[str, Any]
    places: Mapping[KeyPath, Place]
    deleted: Mapping[KeyPath, Place] = field(default_factory=dict)
    """Settings of lower layers that are taken away before."""


class Layers:
    """All layers so far, as one tree of settings with the place of each."""

    def __init__(self, rules: Schema) -> None:
        self.rules = rules
        self.tree: dict[str, Any] = {}
        self.places: dict[KeyPath, Place] = {}

    def lay(self, layer: Layer) -> None:
        """Put one more layer on top.

        Raises:
            UserError: there is nothing to delete, or `_replace_` is not `true`.
        """
        for path, place in layer.deleted.items():
            self._delete(path, place)
        if layer.values:
            self.tree = self._merged(self.tree, layer.values, (), self.rules, None, layer)

    def _delete(self, path: KeyPath, place: Place) -> None:
        above: Any = self.tree
        for key in path[:-1]:
            above = above.get(key) if isinstance(above, dict) else None
        if not isinstance(above, dict) or path[-1] not in above:
            raise UserError(f"{place}: there is no `{'.'.join(path)}` to delete")
        del above[path[-1]]
        self._forget(path)

    def _merged(
        self, below: Any, above: Any, path: KeyPath, schema: Schema | None, inherited: Any, layer: Layer
    ) -> Any:
        """`above` laid over `below` at `path`; `inherited` is what an enclosing default gives here."""
        if not isinstance(above, Mapping):
            self._forget(path)
            self._note(above, path, layer)
            return above
        if isinstance(below, list) and above and set(above) <= {str(index) for index in range(len(below))}:
            items = dict(enumerate(below)) | {
                int(index): self._merged(below[int(index)], value, (*path, index), None, None, layer)
                for index, value in above.items()
            }
            return list(items.values())
        schema = schema or Schema({}, {})
        merges = isinstance(below, dict) and above and not self._says_replace(above, path, layer)
        if merges and schema.variants and "type" in above:
            merges = above["type"] == (schema.default_for(below, inherited) | below).get("type")
        if not merges:
            self._forget(path)
        if path in layer.places and not (merges and layer.places[path].on_command_line):
            self.places[path] = layer.places[path]
        result: dict[str, Any] = dict(below) if merges else {}
        given = result | ({"type": above["type"]} if "type" in above else {})
        default = schema.default_for(given, inherited)
        inner = schema.variants.get(str((default | given).get("type")), schema)
        for key, value in ((str(key), value) for key, value in above.items() if key != REPLACE):
            here = (*path, key)
            result[key] = self._merged(
                result.get(key), value, here, inner.below(key), default.get(key), layer
            )
        return result

    def _says_replace(self, above: Mapping[str, Any], path: KeyPath, layer: Layer) -> bool:
        asked = above.get(REPLACE, False)
        if REPLACE in above and asked is not True:
            place = layer.places.get((*path, REPLACE)) or layer.places[path]
            raise UserError(f"{place}: {'.'.join((*path, REPLACE))}: can only be true, or be left out")
        return bool(asked)

    def _note(self, value: Any, path: KeyPath, layer: Layer) -> None:
        if path in layer.places:
            self.places[path] = layer.places[path]
        inside = dict(enumerate(value)) if isinstance(value, list) else value
        for key, part in inside.items() if isinstance(inside, Mapping) else ():
            self._note(part, (*path, str(key)), layer)

    def _forget(self, path: KeyPath) -> None:
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
