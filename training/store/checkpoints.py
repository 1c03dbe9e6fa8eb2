"""Checkpoints that survive kill -9: sealed by a manifest of hashes, and only sealed ones are resumed.

A Trainer checkpoint is a directory that grows file by file; resuming from a torn one loses optimiser or
random state silently. Here a checkpoint counts once its seal, written last, names every file with its hash.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from training.store.atomic import hash_file, read_json, write_json

SEAL = "sealed.json"


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SEAL
    }


def seal(folder: Path) -> None:
    """Declare a finished checkpoint valid, then delete the older ones beside it."""
    write_json(folder / SEAL, _files(folder))
    for other in folder.parent.glob("checkpoint-*"):
        if other != folder:
            shutil.rmtree(other)


def clear(folder: Path) -> None:
    """Forget all checkpoints of a run that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint under `folder` whose seal matches its files."""
    candidates = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]), reverse=True)
    return next((candidate for candidate in candidates if _intact(candidate)), None)


def _intact(folder: Path) -> bool:
    try:
        return bool(read_json(folder / SEAL) == _files(folder))
    except (FileNotFoundError, ValueError):  # not sealed, or the seal itself is damaged
        return False
