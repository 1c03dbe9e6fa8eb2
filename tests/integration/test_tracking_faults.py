"""The W&B mirror: nothing that it meets can hurt the experiment, and the next run makes up for it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from mirroring import CONFIG, GOLD, KEY, ROW, key_rows, offline_runs, record
from places import CHECKOUT

from training.follow.wandb_mirror import Mirror, Tracking

pytest.importorskip("wandb")
pytestmark = pytest.mark.usefixtures("no_account")


def test_an_unreachable_server_costs_nothing_and_runs_are_kept(
    tmp_path: Path, mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = time.monotonic()
    with mirror(init_seconds=2) as open_mirror:
        record(open_mirror)
    assert time.monotonic() - started < 20
    assert "server did not answer" in said[0] and "wandb sync" in said[1]
    assert set(offline_runs(tmp_path)) == {"rloo-0"}


def test_a_server_that_never_answers_is_left_at_the_deadline(
    mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with mirror(init_seconds=60, finish_seconds=2) as open_mirror:
            record(open_mirror)
    assert time.monotonic() - started < 4
    assert len(said) == 1 and "too long" in said[0]
    assert open_mirror.process is not None and open_mirror.process.poll() is not None


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def mirror_process(mirror: Mirror) -> psutil.Process:
    assert mirror.process is not None
    return psutil.Process(mirror.process.pid)


def wandb_core(mirror: Mirror) -> psutil.Process | None:
    children = mirror_process(mirror).children()
    return next((child for child in children if "wandb-core" in child.name()), None)


@pytest.mark.parametrize("victim", [mirror_process, wandb_core])
def test_killing_any_part_of_the_mirror_does_not_touch_the_caller(
    tmp_path: Path, mirror: Callable[..., Mirror], said: list[str], victim: Callable[[Mirror], Any]
) -> None:
    with mirror("offline") as open_mirror:
        record(open_mirror, "before")
        wait_for(lambda: list((tmp_path / "demo" / "wandb").glob("offline-run-*/*.wandb")))
        wait_for(lambda: victim(open_mirror)).send_signal(signal.SIGKILL)
        record(open_mirror, "after")
        started = time.monotonic()
    assert time.monotonic() - started < 20
    assert len(said) == 1 and "records on disk are not affected" in said[0]
    with mirror("offline") as repeat:
        record(repeat, "before")
        record(repeat, "after")
    for run in offline_runs(tmp_path).values():
        assert key_rows([row["item"] for row in run["history"]], "score/gold") == list(GOLD)


def test_a_stuck_mirror_costs_nothing_and_is_stopped(
    mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirror("offline", finish_seconds=1) as open_mirror:
        mirror_process(open_mirror).suspend()
        record(open_mirror)
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert len(said) == 1 and "too long" in said[0]


def test_a_place_that_cannot_be_written_means_no_mirror(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("not a directory")
    with Mirror(Tracking(mode="offline"), tmp_path / "file", CONFIG, say=said.append) as open_mirror:
        record(open_mirror)
    assert len(said) == 1 and "did not start" in said[0]


def test_the_mirror_ends_when_its_caller_is_killed(tmp_path: Path) -> None:
    script = f"""
import pathlib, time
from training.follow.wandb_mirror import Mirror, Tracking
with Mirror(Tracking(mode="offline"), pathlib.Path({str(tmp_path / "demo")!r}), {{}}) as mirror:
    mirror.open("rloo-0", "policy-1", {{}}, ())
    print(mirror.process.pid, flush=True)
    time.sleep(60)
"""
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert caller.stdout is not None
    pid = int(caller.stdout.readline())
    wait_for(lambda: list((tmp_path / "demo" / "wandb").glob("offline-run-*/*.wandb")))
    caller.kill()
    caller.wait()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert offline_runs(tmp_path)["rloo-0"]["exit"][0]["exit_code"] == 1


def test_a_value_that_cannot_be_written_is_left_out_and_counted(
    mirror: Callable[..., Mirror], said: list[str]
) -> None:
    with mirror("offline") as open_mirror:
        open_mirror.open("rloo-0", "policy-1", ROW, ())
        open_mirror.metrics("rloo-0", 0, {"reward": np.zeros(2)})
        open_mirror.close("rloo-0")
    assert open_mirror.lost == 1 and "1 line(s) could not be written" in said[0]


def test_disabled_starts_nothing(tmp_path: Path, mirror: Callable[..., Mirror], said: list[str]) -> None:
    with mirror("disabled") as open_mirror:
        record(open_mirror)
    assert open_mirror.process is None and said == [] and not (tmp_path / "demo").exists()
