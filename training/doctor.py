"""`overopt doctor`: what this machine has, and what a run would be missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from training.environment import TRAIN
from training.errors import UserError
from training.store.atomic import write_bytes
from training.store.lock import locked

BASE = (
    "pydantic",
    "hydra-core",
    "typer",
    "rich",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "matplotlib",
    "tueplots",
)
LOW_DISK = 2 * 2**30  # bytes; a quickstart leaves a few hundred MB


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    name: str
    value: str
    advice: str = ""
    """What to do about it; empty if nothing is wrong."""
    needed: bool = False
    """Whether `overopt run` cannot work until the advice is followed."""


def examine(runs: Path) -> list[Finding]:
    """All findings about this machine; `runs` is where records will be kept."""
    return [
        Finding("python", f"{platform.python_version()} on {platform.platform()}"),
        *_packages(BASE, "pip install -e .", needed=True),
        *_packages(TRAIN, "pip install -e '.[train]'", needed=True),
        *_packages(("wandb",), "pip install -e '.[train]' to watch runs in Weights & Biases", needed=False),
        *_torch(),
        *_machine(),
        _tracking(),
        _hub(),
        *_records(runs),
    ]


def show(findings: Iterable[Finding]) -> None:
    """A table on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        for finding in findings:
            print(f"{finding.name}: {finding.value}" + (f"; {finding.advice}" if finding.advice else ""))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "found", "to do", header_style="bold")
    for finding in findings:
        style = "red" if finding.needed else "yellow"
        table.add_row(finding.name, Text(finding.value), Text(finding.advice, style=style))
    Console().print(table)


def _packages(names: Iterable[str], install: str, needed: bool) -> Iterator[Finding]:
    for name in names:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "not installed", install, needed)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ModuleNotFoundError:
        return  # already reported with the packages
    except (ImportError, OSError) as error:
        yield Finding("torch build", f"cannot be imported: {error}", "reinstall torch", needed=True)
        return
    yield Finding("torch build", f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only")
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    names = [f"{device.name} ({_gib(device.total_memory)})" for device in devices]
    if torch.backends.mps.is_available():
        names.append("Apple MPS")
    yield Finding("devices", ", ".join(names) or "CPU")
    yield Finding("torch threads", str(torch.get_num_threads()))


def _machine() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    yield Finding(
        "CPUs", f"{psutil.cpu_count()} logical, {psutil.cpu_count(logical=False) or 'unknown'} physical"
    )
    yield Finding("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "not set"))
    yield Finding("memory", f"{_gib(memory.available)} free of {_gib(memory.total)}")


def _tracking() -> Finding:
    from training.follow.wandb_mirror import decide

    decision = decide("auto")
    return Finding("Weights & Biases", decision.mode + (f": {decision.reason}" if decision.reason else ""))


def _hub() -> Finding:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    models = len(list(cache.glob("models--*")))
    return Finding(
        "Hugging Face hub", f"{'offline' if offline else 'online'}, {models} models cached in {cache}"
    )


def _records(runs: Path) -> Iterator[Finding]:
    """Free space, and whether what the records rely on works there: fsync, rename and locks."""
    folder = next(parent for parent in (runs.absolute(), *runs.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free
    advice = "free some space, or set paths.runs to a larger disk" if free < LOW_DISK else ""
    yield Finding("disk", f"{_gib(free)} free for {runs}", advice)
    try:
        with tempfile.TemporaryDirectory(prefix=".overopt-doctor-", dir=folder) as scratch:
            write_bytes(Path(scratch) / "record", b"works")
            with locked(Path(scratch) / "lock", wait=False):
                pass
    except (OSError, UserError) as error:
        yield Finding(
            "records",
            f"cannot be written in {folder}: {error}",
            "set paths.runs to another disk",
            needed=True,
        )
    else:
        yield Finding("records", f"can be written and locked in {folder}")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
