"""The plugins that a config names: imported before anything is checked, since they decide what is allowed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.config.layers import Layer
from training.config.messages import Places, Problem, all_at_once
from training.config.yaml_files import Place
from training.errors import UserError
from training.plugins import load_plugins

KEY = "plugins"


def with_plugins(layers: Sequence[Layer], main: Place) -> list[Layer]:
    """The same layers, once the plugins they name are imported; a file's path is absolute from then on.

    Raises:
        UserError: one problem for each plugin that cannot be used.
    """
    named = next((layer for layer in reversed(layers) if KEY in layer.values), None)
    if named is None or not isinstance(named.values[KEY], list):
        return list(layers)  # none, or for the schema to refuse
    places = Places(named.places, main)
    names, problems = [], []
    for index, name in enumerate(named.values[KEY]):
        path = (KEY, str(index))
        if not isinstance(name, str):
            return list(layers)
        names.append(_absolute(name, places.nearest(path)))
        try:
            load_plugins(names[-1:])
        except UserError as error:
            problems.append(Problem(places.nearest(path), f"{'.'.join(path)}: {error}"))
    if problems:
        raise all_at_once(problems)
    resolved = replace(named, values={**named.values, KEY: names})
    return [resolved if layer is named else layer for layer in layers]


def _absolute(name: str, written: Place) -> str:
    """The path of a `.py` file, relative to the config that names it; the name of a module as it is."""
    if not name.endswith(".py"):
        return name
    folder = Path() if written.on_command_line else Path(written.source).parent
    return os.path.abspath(folder / Path(name).expanduser())
