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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import wandb_stub

from training.follow.wandb_mirror import Mirror, Tracking

pytest.importorskip("wandb")

KEY = "0123456789" * 4
CONFIG = {"name": "demo", "seed": 7, "tags": "mine, not W&B's"}
ROW = {"run_id": "rloo-0", "method": "rloo", "proxy": "starved", "seed": 0, "budget": 0.5}
GOLD = (0.0, 2.0, 3.0, 1.0)
"""Its peak lies inside."""
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


def record(mirror: Mirror, run_id: str = "rloo-0", steps: int = 4, artefact: str = "policy-1") -> None:
    """Hand over a small run, all of it or its first steps; it takes no time, whatever state the mirror is in."""
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


def test_offline_runs_hold_what_was_recorded(
    tmp_path: Path, mirror: Callable[..., Mirror], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with mirror() as open_mirror:
        open_mirror.open("other", "policy-2", {"run_id": "other"}, ())  # several at once
        record(open_mirror)
    assert "offline: no API key" in said[0]
    assert said[1:] == ["to show it in W&B: wandb sync demo/wandb/offline-run-*"]
    assert {path.name for path in tmp_path.iterdir()} <= {"demo", "home"}

    runs = offline_runs(tmp_path)
    assert set(runs) == {"rloo-0", "other"}
    (run,) = runs["rloo-0"]["run"]
    assert (run["run_group"], run["job_type"], run["project"]) == ("demo", "policy", "overopt")
    assert run["tags"] == ["demo", "starved"]
    assert run["config"]["update"]["overopt"] == {**CONFIG, "run": ROW}

    metrics = {metric.get("name", metric.get("glob_name")): metric for metric in runs["rloo-0"]["metric"]}
    axes = {name: metric.get("step_metric") for name, metric in metrics.items()}
    assert axes["score/gold"] == axes["score/proxy"] == axes["kl/kl"] == "kl/sqrt_kl"
    assert axes["train/*"] == "train/step"
    hidden = {name for name, metric in metrics.items() if metric.get("options", {}).get("hidden")}
    assert hidden == {"score/gold_lo"}

    rows = [row["item"] for row in runs["rloo-0"]["history"]]
    assert key_rows(rows, "train/reward") == [0, 1, 2, 3]
    assert key_rows(rows, "kl/sqrt_kl") == pytest.approx([0, 0.5, 0.5 * 2**0.5, 0.75**0.5])
    assert key_rows(rows, "score/gold") == list(GOLD)
    gaps = {"score/oracle", "train/kl", "train/note"}
    assert not any(gaps & row.keys() for row in rows), "a missing measurement is a gap"
    assert len(key_rows(rows, "behaviour/samples._type")) == 4
    assert any("score/curves_table.nrows" in row for row in rows)
    assert summary(runs["rloo-0"]).items() >= {"peak/gold": 3, "peak/kl": 0.5, "peak/step": 2}.items()
    assert summary(runs["rloo-0"])["budget/ratio"] == 1.5

    assert runs["rloo-0"]["exit"][0].get("exit_code", 0) == 0
    assert runs["other"]["exit"][0]["exit_code"] == 1, "a run that nobody closed has not succeeded"


def summary(run: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The last value of each key of the summary."""
    return {key: value for record in run["summary"] for key, value in record["update"].items()}


def test_a_repeat_opens_no_run_and_a_changed_run_is_a_new_one(
    tmp_path: Path, mirror: Callable[..., Mirror]
) -> None:
    with mirror("offline") as first:
        record(first)
    (folder,) = folders(tmp_path)
    before = next(folder.glob("*.wandb")).stat().st_mtime_ns
    with mirror("offline") as repeat:
        assert not repeat.open("rloo-0", "policy-1", ROW, ()), "nothing is left to send"
        record(repeat)
    assert folders(tmp_path) == [folder]
    assert next(folder.glob("*.wandb")).stat().st_mtime_ns == before
    with mirror("offline") as changed:
        record(changed, artefact="policy-2")
    assert len(folders(tmp_path)) == 2


def test_an_interrupted_run_that_goes_on_offline_is_one_whole_run(
    tmp_path: Path, mirror: Callable[..., Mirror]
) -> None:
    with mirror("offline") as interrupted:
        record(interrupted, steps=2)
    with mirror("offline") as continued:
        record(continued)
    assert len(folders(tmp_path)) == 1
    run = offline_runs(tmp_path)["rloo-0"]
    assert key_rows([row["item"] for row in run["history"]], "score/gold") == list(GOLD)
    assert run["exit"][0].get("exit_code", 0) == 0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb_stub.Stub]:
    """A loopback server for which there is a key."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with wandb_stub.serving() as stub:
        monkeypatch.setenv("WANDB_BASE_URL", stub.url)
        yield stub


def golds(server: wandb_stub.Stub) -> list[list[float]]:
    """The gold curve of each run on the server."""
    histories = [[rows[number] for number in sorted(rows)] for rows in server.history.values()]
    return [key_rows(rows, "score/gold") for rows in histories]


def test_online_runs_reach_the_server_and_the_key_stays_secret(
    tmp_path: Path,
    mirror: Callable[..., Mirror],
    said: list[str],
    server: wandb_stub.Stub,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with mirror() as open_mirror:
        record(open_mirror)
    assert said == [f"W&B: {server.url}/me/overopt (group demo)"]
    first = server.runs[0]
    assert (first["groupName"], first["jobType"], first["displayName"]) == ("demo", "policy", "rloo-0")
    assert first["tags"] == ["demo", "starved"]
    assert json.loads(first["config"])["overopt"]["value"]["run"] == ROW
    assert golds(server) == [list(GOLD)]
    written = [path.read_bytes() for path in (tmp_path / "demo").rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in content for content in written)
    assert KEY not in "".join(capfd.readouterr())


def test_online_a_run_goes_on_where_the_server_has_it(
    mirror: Callable[..., Mirror], server: wandb_stub.Stub
) -> None:
    with mirror() as interrupted:
        record(interrupted, steps=2)
    with mirror() as continued:
        record(continued)
    assert golds(server) == [list(GOLD)]
    registered = len(server.runs)
    with mirror() as repeat:
        record(repeat)
    assert golds(server) == [list(GOLD)] and len(server.runs) == registered


@pytest.mark.parametrize("then", ["sync", "sync twice", "repeat online"])
def test_a_run_kept_offline_arrives_once(
    tmp_path: Path,
    mirror: Callable[..., Mirror],
    said: list[str],
    server: wandb_stub.Stub,
    then: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with mirror("offline") as offline:
        record(offline)
    if then == "repeat online":
        with mirror() as online:
            record(online)
        assert folders(tmp_path) == []
    else:
        command = said[-1].partition("wandb ")[2].split()
        for _ in then.split():
            wandb = str(Path(sys.executable).with_name("wandb"))
            subprocess.run([wandb, *command, "--include-synced"], capture_output=True, check=True)
        said.clear()
        with mirror() as repeat:
            record(repeat)
        assert not any("wandb sync" in line for line in said), "it is there"
    assert golds(server) == [list(GOLD)]


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path,
    mirror: Callable[..., Mirror],
    server: wandb_stub.Stub,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    with mirror(mode) as open_mirror:
        record(open_mirror)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "demo" / "wandb" / "tmp").exists()


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
    root = Path(__file__).parents[2]
    caller = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
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
