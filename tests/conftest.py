"""Shared by all tests: one experiment, run once through the real command."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import Finished, Home


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """configs/smoke.yaml, finished; for reading only."""
    home = Home(tmp_path_factory.mktemp("smoke") / "runs")
    result = home.run()
    assert result.returncode == 0, result.stdout + result.stderr
    return Finished(home, result)


@pytest.fixture
def home(smoke: Finished, tmp_path: Path) -> Home:
    """A copy of the finished smoke experiment, to be changed at will."""
    return smoke.home.copy(tmp_path / "runs")
