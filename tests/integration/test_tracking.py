"""The W&B mirror: what it shows, offline and on a loopback server, and that all of it arrives once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wandb_stub
from mirroring import CONFIG, GOLD, KEY, ROW, folders, key_rows, offline_runs, record, summary

from training.follow.wandb_mirror import Mirror

pytest.importorskip("wandb")


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
    assert any("Custom Chart Tables/score/curves_table.nrows" in row for row in rows)
    assert summary(runs["rloo-0"]).items() >= {"peak/gold": 3, "peak/kl": 0.5, "peak/step": 2}.items()
    assert summary(runs["rloo-0"])["budget/ratio"] == 1.5

    assert runs["rloo-0"]["exit"][0].get("exit_code", 0) == 0
    assert runs["other"]["exit"][0]["exit_code"] == 1, "a run that nobody closed has not succeeded"


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
