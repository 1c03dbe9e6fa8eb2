"""What W&B is to be told of a run is written once, however often and however far the run is followed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.follow.outbox import Outbox


def lines(path: Path) -> list[str]:
    return [json.loads(line)["call"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox" / "run.jsonl"


def follow_run(path: Path, steps: int, end: bool | None = None) -> Outbox:
    outbox = Outbox(path)
    outbox.add("open", init={"name": "run"})
    for step in range(steps):
        outbox.add("metrics", step=step, values={"reward": np.float32(step)})
    outbox.add("point", step=0, values={"score/gold": 0.5})
    if end is not None:
        outbox.add("close", failed=end)
    return outbox


def test_each_line_is_there_once(path: Path) -> None:
    follow_run(path, 2)
    assert follow_run(path, 3, end=False).ended
    whole = path.read_bytes()
    assert lines(path) == ["open", "metrics", "metrics", "point", "metrics", "close"]
    assert follow_run(path, 5, end=True).ended, "what has ended well stays as it is"
    assert path.read_bytes() == whole


def test_a_failed_run_may_go_on(path: Path) -> None:
    follow_run(path, 1, end=True)
    follow_run(path, 1, end=True)
    assert lines(path).count("close") == 1
    assert follow_run(path, 2, end=False).ended
    assert lines(path)[-2:] == ["metrics", "close"]


def test_a_line_cut_off_by_a_kill_is_written_again(path: Path) -> None:
    follow_run(path, 2)
    path.write_bytes(path.read_bytes()[:-5])
    follow_run(path, 2)
    assert sorted(lines(path)) == ["metrics", "metrics", "open", "point"]
