"""Fixtures of the tests of the W&B mirror: no account of this machine's user, and no way to the internet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb_stub
from mirroring import CONFIG, KEY

from training.follow.wandb_mirror import Mirror, Tracking


@pytest.fixture
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no settings, and a server that is not there."""
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def said() -> list[str]:
    """What the mirror told the user."""
    return []


@pytest.fixture
def mirror(no_account: None, tmp_path: Path, said: list[str]) -> Callable[..., Mirror]:
    """A mirror of the experiment `demo`."""

    def make(mode: Any = "auto", **limits: float) -> Mirror:
        tracking = Tracking(mode=mode, tags=("demo",))
        return Mirror(tracking, tmp_path / "demo", CONFIG, say=said.append, **limits)

    return make


@pytest.fixture
def server(no_account: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb_stub.Stub]:
    """A loopback server for which there is a key."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_stub.serving() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        yield stub
