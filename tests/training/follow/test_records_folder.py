"""Whose folder it is, and how new records take the place of old ones: with planted records, no training."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from training.config.load import load, resolved_yaml
from training.config.schema import Experiment
from training.errors import UserError
from training.follow import folder as folders
from training.follow.folder import put_right, read_index, refuse_another, replace, restore, successor

CONFIG = "name: tiny\nworld: {type: quiz}\nproxies: {starved: {pairs: 20}}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(CONFIG)


def config(*overrides: str) -> Experiment:
    (only,) = load(Path("tiny.yaml"), ["name=tiny", *overrides])
    return only.config


def plant(folder: Path, mark: str = "old", *overrides: str) -> Path:
    """Records of one run, with a mark in every file."""
    run = folder / "rloo-path" / "points" / "000000"
    run.mkdir(parents=True)
    (run / "scores.parquet").write_text(mark)
    (folder / "items.parquet").write_text(mark)
    index = {"runs": [{"run_id": "rloo-path"}], "status": "complete", "mark": mark}
    (folder / "experiment.json").write_text(json.dumps(index))
    (folder / "config.yaml").write_text(resolved_yaml(config(*overrides)))
    return folder


# ---------------------------------------------------------------- whose folder


def test_the_same_settings_are_the_same_experiment(tmp_path: Path) -> None:
    home = plant(tmp_path / "tiny")
    refuse_another(config(), home)
    refuse_another(config("workers=1", "tracking.mode=disabled", "paths.runs=x"), home)
    refuse_another(config(), tmp_path / "free")


def test_another_experiment_is_refused_by_what_differs_and_offered_a_name(tmp_path: Path) -> None:
    home = plant(tmp_path / "tiny")
    (tmp_path / "tiny-2").mkdir()
    with pytest.raises(UserError) as refused:
        refuse_another(config("seed=3", "policy.beta=0.5"), home)
    said = str(refused.value)
    assert said.startswith(f"{home} holds another experiment: ") and said.count("\n") == 0
    assert "seed 0 -> 3" in said and "policy.beta" in said and "-> 0.5" in said and "name=tiny-3" in said
    many = [
        f"measure.{key}={value}" for key, value in (("items", 9), ("heldout_pairs", 60), ("batch_size", 7))
    ]
    with pytest.raises(UserError, match="and 1 more"):
        refuse_another(config("seed=3", "policy.beta=0.5", *many), home)


@pytest.mark.parametrize("damage", ["thesis", "config", "settings"])
def test_what_cannot_be_told_to_be_this_experiment_is_not_touched(tmp_path: Path, damage: str) -> None:
    home = plant(tmp_path / "tiny")
    if damage == "thesis":
        (home / "experiment.json").unlink()
    elif damage == "config":
        (home / "config.yaml").unlink()
    else:
        (home / "config.yaml").write_text(CONFIG + "setting_of_the_past: 1\n")
    with pytest.raises(UserError, match="name"):
        refuse_another(config(), home)


def test_an_index_alone_is_nothing_to_lose(tmp_path: Path) -> None:
    home = plant(tmp_path / "tiny")
    for name in ("config.yaml", "items.parquet"):
        (home / name).unlink()
    refuse_another(config(), home)


# ---------------------------------------------------------------- replacing


def marks(folder: Path) -> set[str]:
    index = read_index(folder)
    assert index is not None
    return {index["mark"], *(file.read_text() for file in folder.rglob("*.parquet"))}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = plant(tmp_path / "tiny")
    (home / "logs").mkdir()
    (home / "logs" / "a.log").write_text("log")
    (home / "notes.md").write_text("mine")
    plant(successor(home), "new")
    return home


def test_new_records_take_the_place_of_old_ones_and_nothing_else(home: Path, tmp_path: Path) -> None:
    replace(home)
    assert marks(home) == {"new"}
    assert (home / "logs" / "a.log").read_text() == "log" and (home / "notes.md").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "tiny.yaml"}


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("step", range(6))
def test_a_crash_at_any_step_leaves_whole_records(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    done = 0

    def dying(act):  # type: ignore[no-untyped-def]
        def counted(*arguments, **options):  # type: ignore[no-untyped-def]
            nonlocal done
            if done == step:
                raise Crash
            done += 1
            return act(*arguments, **options)

        return counted

    with monkeypatch.context() as patched:
        patched.setattr(folders.os, "rename", dying(os.rename))
        patched.setattr(folders.shutil, "rmtree", dying(shutil.rmtree))
        try:
            replace(home)
        except Crash:
            assert step < 5
    put_right(home)
    assert len(marks(home)) == 1, "old or new, and never both"
    restore(home)
    restore(home)
    assert len(marks(home)) == 1
    assert (home / "logs" / "a.log").read_text() == "log" and (home / "notes.md").read_text() == "mine"
    assert not (tmp_path / ".tiny.old").exists()
