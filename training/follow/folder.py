"""The folder of an experiment's records: whose it is, and how new records take the place of old ones.

runs/<name>/         the records that are read
runs/.<name>.new/    their successor in the making, where there is something finished to lose
runs/.<name>.old/    what was replaced, for the moment that this takes
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.config.load import load
from training.config.schema import Experiment
from training.errors import UserError
from training.store.identity import setting_changes
from training.store.lock import InUse, locked

INDEX, CONFIG = "experiment.json", "config.yaml"
DRAWN = frozenset({"summary.json", "tables", "figures", "report.html"})
"""The report, which not every run draws."""
RECORDS = DRAWN | {
    *(INDEX, CONFIG, "items.parquet", "pool_items.parquet", "audit.parquet"),
    *("reward_models", "reference", "best_of_n"),
}
"""What an experiment leaves in its folder beside its runs. All else there (logs, W&B, notes) stays."""
SHOWN = 4
"""Settings that a refusal names."""


def read_index(folder: Path) -> dict[str, Any] | None:
    """experiment.json as it stands; None where there is none that can be read."""
    try:
        index = json.loads((folder / INDEX).read_bytes())
    except (OSError, ValueError):
        return None
    return index if isinstance(index, dict) else None


def refuse_another(config: Experiment, folder: Path) -> None:
    """Make sure that the folder is free, or holds this very experiment: nothing is ever overwritten.

    Raises:
        UserError: it holds something else; the message says what, and offers a free name.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another name or paths.runs")
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if INDEX not in present and any(not name.startswith(".") for name in present):
        raise UserError(
            f"{folder} is not empty and holds no experiment (no {INDEX}): choose another name or paths.runs"
        )
    if CONFIG not in present:
        if present & RECORDS - {INDEX}:
            raise UserError(f"{folder} holds records without their {CONFIG}; {_offer(folder)}")
        return
    try:
        (old,) = load(folder / CONFIG)
    except UserError as error:
        why = str(error).partition("\n")[0]
        raise UserError(
            f"{folder} holds an experiment that this version cannot read ({why}); {_offer(folder)}"
        ) from None
    if changes := setting_changes(old.config.identity(), config.identity()):
        more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        raise UserError(
            f"{folder} holds another experiment: {'; '.join(changes[:SHOWN])}{more}. {_offer(folder)}"
        )


def _offer(folder: Path) -> str:
    number = 2
    while folder.with_name(f"{folder.name}-{number}").exists():
        number += 1
    return f"To keep it, add name={folder.name}-{number}; to replace it, remove the folder"


def lock_of(folder: Path) -> Path:
    """The lock held by the command that writes the records in `folder`."""
    return folder.with_name(f".{folder.name}.lock")


def successor(folder: Path) -> Path:
    """Where records are made that will take the place of those in `folder`."""
    return folder.with_name(f".{folder.name}.new")


def replace(folder: Path) -> None:
    """Put the successor in the place of `folder`. Cut short at any moment, `restore` undoes or ends it."""
    os.rename(folder, _replaced(folder))
    os.rename(successor(folder), folder)
    restore(folder)


def restore(folder: Path) -> None:
    """Undo or end a replacement that was cut short; call it before the folder is looked at."""
    old = _replaced(folder)
    if not old.exists():
        return
    if not folder.exists():
        os.rename(old, folder)
        return
    indices = [index for index in (read_index(old), read_index(folder)) if index]
    gone = RECORDS | {row["run_id"] for index in indices for row in index["runs"]}
    if len({index.get("plan") for index in indices}) == 1:
        gone -= DRAWN  # the same results again: a report that is not drawn anew still holds
    _move(old, folder, (path.name for path in old.iterdir() if path.name not in gone))
    shutil.rmtree(old)


def put_right(folder: Path) -> None:
    """`restore` for a reader: unless the folder is there, or a command is replacing it this very moment."""
    if _replaced(folder).exists() and not folder.exists():
        with contextlib.suppress(InUse), locked(lock_of(folder), wait=False):
            restore(folder)


def _move(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in list(names):
        if not (target / name).exists():
            os.rename(source / name, target / name)


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
