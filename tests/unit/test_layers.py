"""The shape of the house: who may import whom, what is heavy and when it is loaded, and what is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
PACKAGES = ("training", "reward_models", "analysis")
HEAVY = {"torch", "transformers", "trl", "wandb", "datasets", "accelerate"}
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Names of all modules a file imports, wherever in it, for types or at run time."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide which package is meant"
            assert node.module is not None
            yield node.module


def breaches(package: str, forbidden: set[str]) -> list[str]:
    return [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in SOURCES
        if file.is_relative_to(ROOT / package)
        for name in imported(file)
        if name.partition(".")[0] in forbidden
    ]


def test_the_tree_is_looked_at() -> None:
    """The rules below are empty promises unless sources and their imports are found."""
    assert len(SOURCES) > 80 and {file.relative_to(ROOT).parts[0] for file in SOURCES} == set(PACKAGES)
    assert any("reward_models" in name for name in imported(ROOT / "training" / "stages" / "gold.py"))
    assert any("analysis" in name for name in imported(ROOT / "training" / "sampling" / "points.py"))
    assert breaches("training", {"torch"})


def test_reward_models_import_neither_training_nor_analysis() -> None:
    assert not breaches("reward_models", {"training", "analysis"})


def test_analysis_imports_neither_training_nor_reward_models_nor_anything_heavy() -> None:
    assert not breaches("analysis", {"training", "reward_models"} | HEAVY)


def loaded_by(*modules: str) -> set[str]:
    """Top-level modules in memory after importing `modules` in a fresh interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(output.stdout.split())


def test_a_report_loads_no_part_of_the_trainers() -> None:
    loaded = loaded_by("analysis.report.write")
    assert "analysis" in loaded and "pandas" in loaded
    assert not loaded & (HEAVY | {"training", "reward_models"})


def test_config_planning_and_command_load_nothing_heavy() -> None:
    loaded = loaded_by(
        "training.config.schema",
        "training.config.load",
        "training.engine.plan",
        "training.cli",
        "training.store.artefacts",
    )
    assert {"training", "reward_models", "pydantic"} <= loaded
    assert not loaded & HEAVY


def test_the_command_alone_loads_little() -> None:
    assert not loaded_by("training.cli") & (HEAVY | {"pandas", "scipy", "matplotlib", "hydra"})


def top_level() -> set[str]:
    """What the build configuration puts on the import path."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = find_packages(str(ROOT), include=build["packages"]["find"]["include"])
    return {name.partition(".")[0] for name in found}


def test_exactly_three_packages_are_installed() -> None:
    assert top_level() == set(PACKAGES)


def test_every_folder_with_sources_is_a_package() -> None:
    """find_packages passes over a folder without __init__.py, and a wheel would lack it."""
    assert not [str(file) for file in SOURCES if not (file.parent / "__init__.py").exists()]


def test_no_package_takes_the_name_of_another_library() -> None:
    others = {name for name in metadata.packages_distributions() if name not in PACKAGES}
    assert not top_level() & (others | sys.stdlib_module_names)


@pytest.mark.parametrize(
    "folder", ["tests/unit", "tests/integration", "tests/faults", "tests/conformance", "tests"]
)
def test_no_test_helper_hides_a_library(folder: str) -> None:
    """pytest puts a test's folder first on the import path."""
    mine = {file.stem for file in (ROOT / folder).glob("*.py")}
    assert not mine & (set(metadata.packages_distributions()) | set(sys.stdlib_module_names) | set(PACKAGES))


def test_no_file_is_a_drawer_for_odds_and_ends() -> None:
    assert not [file.name for file in SOURCES if file.stem in {"utils", "util", "helpers", "common", "misc"}]


def test_files_can_be_read_in_one_sitting() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    sizes = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (*SOURCES, *tests)
    }
    assert not {name: size for name, size in sizes.items() if size > 300}
