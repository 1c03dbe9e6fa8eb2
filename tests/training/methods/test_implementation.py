"""Settings name their trainer and import none, so that a config is read without torch."""

from __future__ import annotations

import ast
import pkgutil
from pathlib import Path

import pytest
from places import CHECKOUT
from rollouts import METHODS

FOLDER = CHECKOUT / "training" / "methods"


def imported(file: Path) -> set[str]:
    """Modules that a file imports, wherever in it, for types or at run time."""
    tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_names_what_carries_it_out(name: str) -> None:
    implementation = METHODS[name].implementation
    assert implementation.startswith("training.methods.trainers.")
    assert callable(pkgutil.resolve_name(implementation))


def test_no_settings_import_a_trainer() -> None:
    settings = sorted(FOLDER.glob("*.py"))
    assert len(settings) > 8
    guilty = [
        file.name
        for file in settings
        if any(module.startswith("training.methods.trainers") for module in imported(file))
    ]
    assert not guilty
