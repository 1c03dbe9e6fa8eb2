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
from places import CHECKOUT as ROOT
from setuptools import find_packages

PACKAGES = ("training", "reward_models", "analysis")
HEAVY = {"torch", "transformers", "trl", "wandb", "datasets", "accelerate"}
SOURCES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file) for file in SOURCES}
# From top to bottom: each folder (or module beside the folders) imports only from floors below its own.
FLOORS: dict[str, list[set[str]]] = {
    "training": [
        {"cli"},
        {"sweep"},
        {"run", "doctor"},
        {"follow", "audit", "exact"},
        {"engine"},
        {"config", "stages"},
        {"point_tables"},
        {"methods"},
        {"sampling"},
        {"store", "worlds"},
        {"mitigations"},
        {"streams", "environment", "signals", "plugins"},
        {"errors"},
    ],
    "analysis": [
        {"report"},
        {"figures"},
        {"tables"},
        {"behaviour"},
        {"equal_kl"},
        {"laws"},
        {"pool", "audit"},
        {"probes", "detectors", "claims"},
        {"study"},
        {"records"},
        {"estimators", "plugins"},
        {"entries"},
    ],
}


def imported(file: Path) -> Iterator[str]:
    """Names of all modules a file imports, wherever in it, for types or at run time."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide which package is meant"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Each of our modules and those of ours that it imports."""
    return {module_of(file): {name for name in imported(file) if name in MODULES} for file in SOURCES}


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


@pytest.mark.parametrize("package", FLOORS)
def test_folders_import_only_from_floors_below(package: str, arrows: dict[str, set[str]]) -> None:
    floor = {name: number for number, names in enumerate(FLOORS[package]) for name in names}
    rooms = {module: module.split(".")[1] for module in arrows if module.startswith(f"{package}.")}
    assert not set(rooms.values()) - set(floor), "a new folder needs its place in FLOORS"
    assert not [
        f"{module} -> {target}"
        for module, room in rooms.items()
        for target in arrows[module] & set(rooms)
        if rooms[target] != room and floor[rooms[target]] <= floor[room]
    ]


def test_annotators_know_nothing_of_networks(arrows: dict[str, set[str]]) -> None:
    ours = {module for module in arrows if module.startswith("reward_models.annotators")}
    others = {target for module in ours for target in arrows[module]} - ours
    assert others <= {"reward_models.component", "reward_models.errors", "reward_models.registry"}


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that reach each other."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            new = arrows[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    reached = {module: reach(module) for module in arrows}
    found = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in arrows
        if module in reached[module]
    }
    return [set(circle) for circle in found]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_no_two_modules_import_each_other(arrows: dict[str, set[str]]) -> None:
    """Imports for types count: what needs a circle to be described is one thing in two files."""
    assert not circles(arrows)


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


def test_no_test_helper_hides_a_library() -> None:
    """pytest puts the folder of helpers first on the import path."""
    mine = {file.stem for file in (ROOT / "tests" / "support").glob("*.py")}
    assert len(mine) > 10
    assert not mine & (set(metadata.packages_distributions()) | set(sys.stdlib_module_names) | set(PACKAGES))


def test_tests_mirror_the_sources() -> None:
    folders = {file.parent.relative_to(ROOT) for file in SOURCES}
    astray = {
        str(file.parent)
        for package in PACKAGES
        for file in (ROOT / "tests" / package).rglob("test_*.py")
        if file.parent.relative_to(ROOT / "tests") not in folders
    }
    assert not astray


def test_no_file_is_a_drawer_for_odds_and_ends() -> None:
    assert not [file.name for file in SOURCES if file.stem in {"utils", "util", "helpers", "common", "misc"}]


def test_files_can_be_read_in_one_sitting() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    sizes = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (*SOURCES, *tests)
    }
    assert not {name: size for name, size in sizes.items() if size > 300}
