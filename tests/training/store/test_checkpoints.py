"""Only a checkpoint whose every byte is there is resumed from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from training.store.checkpoints import SEAL, latest, seal


def checkpoint(folder: Path, step: int, *, sealed: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "rng").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes(range(200)) * 10)
    (made / "optimizer.pt").write_bytes(b"moments" * step)
    (made / "rng" / "state.pth").write_bytes(b"random")
    if sealed:
        seal(made)
    return made


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 128
    path.write_bytes(data)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert latest(tmp_path / "nowhere") is None
    checkpoint(tmp_path, 3, sealed=False)
    assert latest(tmp_path) is None


def test_a_sealed_one_is_found_again(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, 3)
    assert latest(tmp_path) == made


def test_sealing_deletes_the_older_ones_only_once_it_is_done(tmp_path: Path) -> None:
    old = checkpoint(tmp_path, 9)
    new = checkpoint(tmp_path, 10, sealed=False)
    assert latest(tmp_path) == old, "a kill before the seal leaves the older one to resume from"
    seal(new)
    assert latest(tmp_path) == new and not old.exists()


def test_the_newest_is_found_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (9, 10):
        checkpoint(tmp_path / str(step), step)
        shutil.copytree(tmp_path / str(step), tmp_path / "all", dirs_exist_ok=True)
    assert latest(tmp_path / "all") == tmp_path / "all" / "checkpoint-10"


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng/state.pth"])
@pytest.mark.parametrize("damage", [tear, flip_a_bit, Path.unlink])
def test_a_damaged_one_is_skipped(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(checkpoint(tmp_path, 3) / name)
    assert latest(tmp_path) is None


@pytest.mark.parametrize("damage", [tear, flip_a_bit, Path.unlink])
def test_a_damaged_seal_vouches_for_nothing(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(checkpoint(tmp_path, 3) / SEAL)
    assert latest(tmp_path) is None


def test_an_intact_older_one_stands_in_for_a_damaged_newer_one(tmp_path: Path) -> None:
    checkpoint(tmp_path / "a", 4)
    checkpoint(tmp_path / "b", 8)
    for part in ("a", "b"):
        shutil.copytree(tmp_path / part, tmp_path / "all", dirs_exist_ok=True)
    flip_a_bit(tmp_path / "all" / "checkpoint-8" / "optimizer.pt")
    assert latest(tmp_path / "all") == tmp_path / "all" / "checkpoint-4"
