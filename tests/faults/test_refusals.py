"""What is refused before anything is trained, and what a full disk or a broken table says."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from experiments import (
    Finished,
    Home,
    planned,
    replace,
    titled,
)
from places import SMOKE

import training.run
from training import cli
from training.config.load import load
from training.engine.resolve import stored
from training.errors import UserError
from training.store.artefacts import Store
from training.store.lock import locked

STARVED, AMPLE, BUDGET = "rloo-path-starved", "rloo-path-ample", "rloo-budget-starved-kl0.3"


EVERY = len(planned().stages)


# ---------------------------------------------------------------- refused before anything is trained


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it refuses, run in this process."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert "Traceback" not in err
    return str(err)


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "runs")
    with locked(home.runs / ".smoke.lock", wait=False):
        said = refused(capsys, *home.arguments())
    assert f"{home.records} is in use by another overopt run" in said and f"pid {os.getpid()}" in said
    assert not home.store.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path)
    home.records.mkdir()
    (home.records / "thesis.tex").write_text("years of work")
    assert "holds no experiment" in refused(capsys, *home.arguments())
    assert (home.records / "thesis.tex").read_text() == "years of work"


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, *Home(tmp_path / "file").arguments())
    assert f"cannot write {tmp_path}/file" in said and "paths.runs" in said


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("full", ["paths.store", "paths.runs"])
def test_too_little_room_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    small = tmp_path / full
    small.mkdir()
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: Usage(2**40, 0, 2**20 if Path(path).is_relative_to(small) else 2**39),
    )
    home = Home(small if full == "paths.runs" else tmp_path / "runs")
    store = small / "store" if full == "paths.store" else tmp_path / "store"
    said = refused(capsys, *home.arguments(f"paths.store={store}"))
    assert "1 MiB free, and an experiment needs 500 MiB" in said and f"set {full} to a larger disk" in said
    assert not home.records.exists()


def test_a_language_model_is_refused_as_gold(
    smoke: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = titled(planned(), "sft reference")
    gold = smoke.home.artefact(stage) / "model"
    home = Home(tmp_path / "runs")
    own = [f"~gold.{key}" for key in ("model", "pairs", "fit")]
    said = refused(capsys, *home.arguments("gold.type=pretrained", f"+gold.path={gold}", *own))
    assert f"{gold} holds LlamaForCausalLM, not a reward model" in said
    assert not home.runs.exists()


# ---------------------------------------------------------------- no space left, broken records


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the world, but not for a model."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        ctypes.CDLL(None).umount2(str(folder).encode(), 2)


def test_a_disk_that_fills_up_is_named_and_what_is_finished_stays(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training.run, "LEAST_FREE_BYTES", 0)
    options = (f"paths.runs={tmp_path / 'runs'}", f"paths.store={small_disk}", "tracking.mode=disabled")
    (loaded,) = load(SMOKE, options)
    with pytest.raises(UserError, match=r"(?s)no space left.*the same command continues"):
        training.run.run(loaded.config)
    assert "✓ build the world" in capsys.readouterr().out
    sound = stored(planned(), Store(small_disk))
    assert len(sound) == len(list((small_disk / "artefacts").iterdir())) >= 1


@pytest.mark.parametrize("file", [f"{AMPLE}/points/000000/scores.parquet", "items.parquet"])
def test_a_truncated_table_is_named_by_report(
    home: Home, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    table = home.records / file
    replace(table, table.read_bytes()[:-100])
    said = refused(capsys, "report", str(home.records))
    assert said.startswith(f"{table}: not a readable Parquet file") and said.count("\n") == 1
