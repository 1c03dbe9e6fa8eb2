"""Shared by all tests: one experiment, run once through the real command; and the order of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from experiments import ENVIRONMENT, Finished, Home
from places import CHECKOUT

from analysis.figures import FIGURES
from training.store.lock import locked

WHOLE = {"integration", "faults", "conformance"}
"""Folders of tests that train: slow, each of them."""

# The command sets these before it loads a library; here the libraries may be loaded already.
os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and run it first: parallel runs then end together."""
    for item in items:
        if item.path.relative_to(CHECKOUT / "tests").parts[0] in WHOLE:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _no_plugin_stays() -> Iterator[None]:
    """A plugin is found and imported once per process; the next test may have another of its name."""
    places, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = places
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """configs/smoke.yaml, finished; for reading only. Processes that test in parallel share it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    home, said = Home(folder / "smoke" / "runs"), folder / "smoke" / "said.json"
    with locked(folder / "smoke.lock", wait=True):
        if not said.exists():
            result = home.run_alone()
            assert result.returncode == 0, result.stdout + result.stderr
            said.write_text(json.dumps([result.args, 0, result.stdout, result.stderr]))
    return Finished(home, subprocess.CompletedProcess(*json.loads(said.read_text())))


@pytest.fixture
def home(smoke: Finished, tmp_path: Path) -> Home:
    """A copy of the finished smoke experiment, to be changed at will."""
    return smoke.home.copy(tmp_path / "runs")


@pytest.fixture
def few_figures() -> Iterator[None]:
    """One figure instead of all: for those who read what a report says."""
    everything = dict(FIGURES)
    FIGURES.clear()
    FIGURES["goodhart"] = everything["goodhart"]
    yield
    FIGURES.clear()
    FIGURES.update(everything)
