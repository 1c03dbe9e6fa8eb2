"""The W&B mirror: what it shows, offline and on a loopback server, and that nothing it meets can hurt."""

from __future__ import annotations

import json
import math
import os
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
import wandb_stub
from places import CHECKOUT

from training.follow.wandb_mirror import Mirror, Tracking

pytest.importorskip("wandb")

KEY = "0123456789" * 4
CONFIG = {"name": "demo", "seed": 7, "tags": "mine, not W&B's"}
ROW = {"run_id": "rloo-0", "method": "rloo", "proxy": "starved", "seed": 0}
BEST_OF_N = {"sqrt_kl": [0.0, 0.5, 1.0], "gold": [0.0, 0.3, 0.2], "proxy/starved": [0.0, 0.4, math.nan]}
RETURNS_WITHIN = 1.0
"""Seconds that all calls of `record` may take together, on a busy machine."""


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no settings of this machine's user, and no way to the internet."""
    for name in [name for name in os.environ if name.startswith("WANDB_")] + ["NETRC"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def mirror(tmp_path: Path, said: list[str]) -> Callable[..., Mirror]:
    def make(mode: Any = "auto", **limits: float) -> Mirror:
        tracking = Tracking(mode=mode, tags=("demo",))
        return Mirror(tracking, tmp_path / "demo", CONFIG, say=said.append, **limits)

    return make


def record(mirror: Mirror, run_id: str = "rloo-0") -> None:
    """Send a small run; it must take no time, whatever state the mirror is in."""
    started = time.monotonic()
    mirror.open(run_id, {**ROW, "run_id": run_id}, ["starved"])
    for step in range(4):
        mirror.metrics(run_id, step, {"reward": np.float32(step), "kl": math.nan, "note": "text"})
        values = {
            "step": step,
            "kl": 0.25 * step,
            "proxy": 2.0 * step,
            "gold": np.float64(step),
            "oracle": None,
        }
        sample = {"item": "q0", "prompt": "is it so ?", "completion": "yes .", "proxy": 1.0, "oracle": None}
        mirror.point(run_id, values, samples=[sample])
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


def test_offline_runs_hold_what_was_recorded(
    tmp_path: Path, mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with mirror() as open_mirror:
        open_mirror.open("other", {"run_id": "other"})  # several at once
        record(open_mirror)
        open_mirror.curve("best_of_n-starved", BEST_OF_N)
    assert len(said) == 1 and "offline: no API key" in said[0]
    assert {path.name for path in tmp_path.iterdir()} <= {"demo", "home"}

    runs = offline_runs(tmp_path)
    assert set(runs) == {"rloo-0", "other", "best_of_n-starved"}
    (run,) = runs["rloo-0"]["run"]
    assert (run["run_group"], run["job_type"], run["project"]) == ("demo", "policy", "overopt")
    assert run["tags"] == ["demo", "starved"]
    assert run["config"]["update"]["overopt"] == {**CONFIG, "run": ROW}

    axes = {metric.get("name"): metric.get("step_metric") for metric in runs["rloo-0"]["metric"]}
    assert axes["overopt/gold"] == axes["overopt/proxy"] == axes["overopt/kl"] == "overopt/sqrt_kl"
    globs = {metric.get("glob_name"): metric.get("step_metric") for metric in runs["rloo-0"]["metric"]}
    assert globs["train/*"] == "overopt/step"

    rows = [row["item"] for row in runs["rloo-0"]["history"]]
    assert [row["train/reward"] for row in rows if "train/reward" in row] == [0, 1, 2, 3]
    points = [row for row in rows if "overopt/gold" in row]
    assert [row["overopt/sqrt_kl"] for row in points] == pytest.approx([0, 0.5, 0.5 * 2**0.5, 0.75**0.5])
    assert [row["overopt/gold"] for row in points] == [0, 1, 2, 3]
    gaps = {"overopt/oracle", "train/kl", "train/note"}
    assert not any(gaps & row.keys() for row in rows), "a missing measurement is a gap"
    assert sum("overopt/samples._type" in row for row in rows) == 4

    assert runs["rloo-0"]["exit"][0].get("exit_code", 0) == 0
    assert runs["other"]["exit"][0]["exit_code"] == 1, "a run that nobody closed has not succeeded"
    (curve,) = [row["item"] for row in runs["best_of_n-starved"]["history"]]
    assert runs["best_of_n-starved"]["run"][0]["job_type"] == "best_of_n"
    assert curve["overopt/best_of_n.nrows"] == 3 and "overopt/best_of_n_curve_table.nrows" in curve


def test_online_runs_reach_the_server_and_the_key_stays_secret(
    tmp_path: Path,
    mirror: Callable[..., Mirror],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_stub.serving() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        with mirror() as open_mirror:
            record(open_mirror)
    assert said == []
    first = server.runs[0]
    assert (first["groupName"], first["jobType"], first["displayName"]) == ("demo", "policy", "rloo-0")
    assert first["tags"] == ["demo", "starved"]
    assert json.loads(first["config"])["overopt"]["value"]["run"] == ROW
    gold = [row["overopt/gold"] for row in server.history if "overopt/gold" in row]
    assert gold == [0, 1, 2, 3]
    written = [path.read_bytes() for path in (tmp_path / "demo").rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in content for content in written)
    assert KEY not in "".join(capfd.readouterr())


def test_an_unreachable_server_costs_nothing_and_runs_are_kept(
    tmp_path: Path, mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = time.monotonic()
    with mirror(init_seconds=2) as open_mirror:
        record(open_mirror)
    assert time.monotonic() - started < 20
    assert len(said) == 1 and "server did not answer" in said[0] and "wandb sync" in said[0]
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


def test_a_stuck_mirror_drops_messages_and_is_stopped(
    mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.follow.wandb_mirror.QUEUED", 50)
    with mirror("offline", finish_seconds=1) as open_mirror:
        mirror_process(open_mirror).suspend()
        started = time.monotonic()
        for step in range(5000):
            open_mirror.metrics("rloo-0", step, {"reward": 1.0})
        assert time.monotonic() - started < 5 and open_mirror.dropped > 0
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert len(said) == 1


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
    mirror.open("rloo-0", {{}})
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


def test_a_value_that_cannot_be_sent_is_dropped_and_counted(
    mirror: Callable[..., Mirror], said: list[str]
) -> None:
    with mirror("offline") as open_mirror:
        open_mirror.open("rloo-0", ROW)
        open_mirror.metrics("rloo-0", 0, {"reward": np.zeros(2)})
        open_mirror.close("rloo-0")
    assert open_mirror.dropped == 1 and len(said) == 1 and "1 message(s) were dropped" in said[0]


def test_disabled_starts_nothing(tmp_path: Path, mirror: Callable[..., Mirror], said: list[str]) -> None:
    with mirror("disabled") as open_mirror:
        record(open_mirror)
    assert open_mirror.process is None and said == [] and not (tmp_path / "demo").exists()
