"""Every config that is shipped says something the schema understands, without a network."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CONFIGS

from training.config.load import load, resolved_yaml
from training.engine.plan import plan

# What lies under accelerate/ is read by `accelerate launch`, not by overopt.
FILES = sorted(f for f in CONFIGS.rglob("*.yaml") if f.relative_to(CONFIGS).parts[0] != "accelerate")
# What others are made of need not be an experiment of its own.
PARTS = {part for file in FILES for part in yaml.safe_load(file.read_text()).get("defaults", [])} - {"_self_"}
SHIPPED = [file for file in FILES if file.stem not in PARTS]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("validation must not look anything up")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_a_shipped_config_is_valid_and_can_be_planned(file: Path) -> None:
    for resolved in load(file):
        stages = plan(resolved.config)
        rows = [run.row["run_id"] for run in stages.runs]
        assert len(set(rows)) == len(rows)
        assert stages.runs or stages.pool, "nothing would be measured"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_what_a_run_records_of_it_loads_again(file: Path, tmp_path: Path) -> None:
    config = load(file)[0].config
    saved = tmp_path / "config.yaml"
    saved.write_text(resolved_yaml(config))
    assert load(saved)[0].config == config


def test_no_two_shipped_configs_share_a_name() -> None:
    """They would replace each other's records."""
    names = Counter(resolved.config.name for file in SHIPPED for resolved in load(file))
    assert len(names) >= 4 and max(names.values()) == 1, names


@pytest.mark.parametrize("file", [f for f in SHIPPED if f.parent.name == "real"], ids=lambda file: file.name)
def test_a_real_config_takes_a_local_file_instead_of_the_hub(file: Path) -> None:
    """Keys that only the Hub understands would be refused with a local file."""
    (resolved,) = load(file, ["world.path=pairs.jsonl"])
    world: Any = resolved.config.world
    assert world.path == "pairs.jsonl"
    assert (world.split, world.config_name, world.data_dir, world.revision) == (None,) * 4
