"""What the tests of the W&B mirror hand over, and how they read what arrived."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from training.follow.wandb_mirror import Mirror

KEY = "0123456789" * 4
CONFIG = {"name": "demo", "seed": 7, "tags": "mine, not W&B's"}
ROW = {"run_id": "rloo-0", "method": "rloo", "proxy": "starved", "seed": 0, "budget": 0.5}
GOLD = (0.0, 2.0, 3.0, 1.0)
"""Its peak lies inside."""
RETURNS_WITHIN = 1.0
"""Seconds that all calls of `record` may take together, on a busy machine."""


def record(mirror: Mirror, run_id: str = "rloo-0", steps: int = 4, artefact: str = "policy-1") -> None:
    """Hand over a small run, all of it or its first steps; whatever the mirror's state, at once."""
    started = time.monotonic()
    mirror.open(run_id, artefact, {**ROW, "run_id": run_id}, ["starved"])
    for step in range(steps):
        mirror.metrics(run_id, step, {"reward": np.float32(step), "kl": math.nan, "note": "text"})
        values = {
            "kl/kl": 0.25 * step,
            "kl/sqrt_kl": (0.25 * step) ** 0.5,
            "score/proxy": 2.0 * step,
            "score/gold": np.float64(GOLD[step]),
            "score/gold_lo": GOLD[step] - 1.0,
            "score/oracle": None,
        }
        sample = {"item": "q0", "prompt": "is it so ?", "completion": "yes .", "proxy": 1.0, "oracle": None}
        mirror.point(run_id, step, values, samples=[sample])
    if steps == 4:
        mirror.close(run_id)
    assert time.monotonic() - started < RETURNS_WITHIN


def records(run: Path) -> dict[str, list[dict[str, Any]]]:
    """All records of an offline W&B run, by type, read by wandb's own inspector."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(run)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, lines):
        found.setdefault(line["type"], []).append(line[line["type"]])
    return found


def offline_runs(tmp_path: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    runs = [records(path) for path in sorted((tmp_path / "demo" / "wandb").glob("offline-run-*"))]
    return {run["run"][0]["display_name"]: run for run in runs}


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "demo" / "wandb").glob("offline-run-*"))


def key_rows(rows: list[dict[str, Any]], key: str) -> list[Any]:
    return [row[key] for row in rows if key in row]


def summary(run: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The last value of each key of the summary."""
    return {key: value for record in run["summary"] for key, value in record["update"].items()}
