"""Where the W&B mirror decides to send an experiment, from the config and the environment alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import CHECKOUT

from training.follow.wandb_mirror import Tracking, decide

pytest.importorskip("wandb")

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's user: no key, no settings, another server."""
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def test_wandb_is_not_imported_by_the_caller() -> None:
    script = (
        "import sys, training.follow.wandb_mirror as t; t.decide('auto'); sys.exit('wandb' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=CHECKOUT)


@pytest.mark.parametrize(
    ("mode", "environment", "expected"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "online"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "disabled"),
        ("online", {}, "offline"),
        ("offline", {"WANDB_API_KEY": KEY}, "offline"),
        ("disabled", {"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, "disabled"),
    ],
)
def test_mode(mode: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert decide(mode).mode == expected


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1:9", "online"), ("api.wandb.ai", "offline")])
def test_a_key_in_netrc_counts_for_its_own_server(tmp_path: Path, host: str, expected: str) -> None:
    (tmp_path / "home").mkdir()
    netrc = tmp_path / "home" / ".netrc"
    netrc.write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    assert decide("auto").mode == expected


def test_the_server_may_come_from_wandbs_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_BASE_URL")
    settings = tmp_path / "home" / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.example.org\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for machine, expected in [("wandb.example.org", "online"), ("api.wandb.ai", "offline")]:
        (tmp_path / "netrc").write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
        (tmp_path / "netrc").chmod(0o600)
        assert decide("auto").mode == expected


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("'auto', 'online', 'offline' or 'disabled'")):
        Tracking.model_validate({"mode": "onlin"})
