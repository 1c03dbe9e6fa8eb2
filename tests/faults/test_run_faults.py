"""What goes wrong while an experiment runs stops what it must, says where, and costs nothing else."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from experiments import (
    Finished,
    Home,
    of_policies,
    planned,
    replace,
    reseal,
    result_of,
    titled,
    wait_for,
)
from places import SMOKE
from safetensors.torch import load_file, save

import training.run
from analysis.records.experiment import Experiment
from training import cli
from training.config.load import load
from training.engine.processes import Failure, Job, attempt
from training.engine.resolve import stored
from training.engine.stage import PlannedRun, Stage
from training.engine.worker import prepare
from training.errors import UserError
from training.store.artefacts import Store
from training.store.lock import locked

STARVED, AMPLE, BUDGET = "rloo-path-starved", "rloo-path-ample", "rloo-budget-starved-kl0.3"


EVERY = len(planned().stages)


def run_of(run_id: str) -> PlannedRun:
    (run,) = [run for run in planned().runs if run.row["run_id"] == run_id]
    return run


def index(home: Home) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((home.records / "experiment.json").read_text())
    return document


# ---------------------------------------------------------------- NaN


def poison(home: Home, proxy: Stage) -> None:
    """Give a proxy a head of NaN."""
    weights = home.artefact(proxy) / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["score.weight"] = torch.full_like(tensors["score.weight"], torch.nan)
    replace(weights, save(tensors, metadata={"format": "pt"}))
    reseal(home.artefact(proxy))


def test_a_proxy_of_nan_stops_its_own_runs_and_no_others(
    smoke: Finished, home: Home, few_figures: None
) -> None:
    poison(home, run_of(STARVED).train.inputs["proxy"])
    home.forget([*planned().audits, *of_policies(planned())])
    result = home.run(report=True)
    assert result.returncode == 1 and result.stderr == "", result.stdout + result.stderr
    # One policy with its four scorers and three audits; two policies with theirs, and the proxy's audit.
    assert f"8 stages run, {EVERY - 19} reused, 11 failed" in result.stdout, result.stdout
    for run_id in (STARVED, BUDGET):
        line = rf"✗ optimise {re.escape(run_id)}: .*holds weights that are not finite"
        assert re.search(line, result.stdout), result.stdout

    rows = {row["run_id"]: row for row in index(home)["runs"]}
    assert {run_id: row["status"] for run_id, row in rows.items()} == {
        STARVED: "failed",
        BUDGET: "failed",
        AMPLE: "complete",
    }
    ample = run_of(AMPLE).train
    assert result_of(home.artefact(ample)) == result_of(smoke.home.artefact(ample))
    gaps = Experiment.read(home.records).gaps()
    assert set(gaps["run_id"]) == {STARVED, BUDGET, "audit by proxy/starved/0"}
    summary = {run["run_id"]: run for run in home.summary()["runs"]}  # and it is strict JSON
    assert summary[AMPLE] == {run["run_id"]: run for run in smoke.home.summary()["runs"]}[AMPLE]
    page = (home.records / "report.html").read_text()
    assert "1 of 3 planned runs completed" in page and "holds weights that are not finite" in page


def fail_here(home: Home, stage: Stage, settings: Mapping[str, Any], tmp_path: Path) -> tuple[Failure, int]:
    """A stage with other settings in this process: its failure, and how many steps it took."""
    prepare()
    identity = dataclasses.replace(home.identity(stage), settings={**stage.settings, **settings})
    failure = attempt(Job(tmp_path / "store", identity, stage.run, home.inputs(stage), tmp_path / "log"))
    assert failure is not None
    journal = tmp_path / "store" / "partial" / identity.name / "metrics.jsonl"
    return failure, len(journal.read_text().splitlines())


def test_a_policy_that_diverges_stops_within_a_step(smoke: Finished, tmp_path: Path) -> None:
    stage = run_of(AMPLE).train
    policy = {**stage.settings["policy"], "learning_rate": 1e30}
    failure, steps = fail_here(smoke.home, stage, {"policy": policy}, tmp_path)
    assert failure.expected and steps <= 2
    assert re.match(
        r"The policy stopped at step [12]: (its logits|loss|grad_norm|KL|the step)", failure.message
    )


def test_fine_tuning_that_diverges_stops_within_a_step(smoke: Finished, tmp_path: Path) -> None:
    stage = titled(planned(), "sft reference")
    sft = {**stage.settings["sft"], "learning_rate": 1e30}
    failure, steps = fail_here(smoke.home, stage, {"sft": sft}, tmp_path)
    assert failure.expected and steps <= 3
    assert re.search(r"stopped at step [1-4]: (loss|grad_norm) is (nan|inf)", failure.message)


# ---------------------------------------------------------------- damage and death


def test_a_damaged_artefact_is_made_again(smoke: Finished, home: Home) -> None:
    stage = run_of(AMPLE).train
    weights = home.artefact(stage) / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    replace(weights, bytes(content))
    line = r"run    optimise rloo-path-ample  about .* s  \[damaged \(model/model.safetensors was changed\)\]"
    assert re.search(line, home.run("--dry-run").stdout)
    result = home.run()
    assert result.returncode == 0, result.stdout
    assert f"1 stages run, {EVERY - 1} reused, 0 failed" in result.stdout, "it left the same bytes as before"
    assert result_of(home.artefact(stage)) == result_of(smoke.home.artefact(stage))
    assert home.summary() == smoke.home.summary()


def test_a_killed_worker_fails_its_stage_and_no_other(smoke: Finished, home: Home) -> None:
    home.forget(of_policies(planned()))
    doomed = home.identity(run_of(STARVED).train).name
    journal = home.store / "partial" / doomed / "metrics.jsonl"
    process = home.start()
    wait_for(lambda: journal.exists() and journal.stat().st_size, process)
    os.kill(int((home.store / "locks" / f"{doomed}.lock").read_text()), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and err == "", out + err
    assert f"✗ optimise {STARVED}: its process died (exit code -9)" in out
    assert f"10 stages run, {EVERY - 15} reused, 5 failed" in out
    assert {row["run_id"]: row["status"] for row in index(home)["runs"]} == {
        STARVED: "failed",
        AMPLE: "complete",
        BUDGET: "complete",
    }
    again = home.run("--dry-run").stdout.splitlines()
    (line,) = [line for line in again if line.startswith("run ")]
    assert re.fullmatch(rf"run    optimise {STARVED}  about \d+ s  \[unfinished\]", line)
    then = [line for line in again if line.startswith("then ")]
    assert len(then) == 4 and all(STARVED in line for line in then), "what values it follows"


# ---------------------------------------------------------------- refused before anything is trained


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says when it refuses, run in this process."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(arguments))
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert "Traceback" not in err
    return str(err)


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "runs")
    with locked(home.runs / ".smoke.lock", wait=False):
        said = refused(capsys, *home.arguments())
    assert f"{home.records} is in use by another overopt run" in said and f"pid {os.getpid()}" in said
    assert not home.store.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path)
    home.records.mkdir()
    (home.records / "thesis.tex").write_text("years of work")
    assert "holds no experiment" in refused(capsys, *home.arguments())
    assert (home.records / "thesis.tex").read_text() == "years of work"


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, *Home(tmp_path / "file").arguments())
    assert f"cannot write {tmp_path}/file" in said and "paths.runs" in said


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("full", ["paths.store", "paths.runs"])
def test_too_little_room_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    small = tmp_path / full
    small.mkdir()
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: Usage(2**40, 0, 2**20 if Path(path).is_relative_to(small) else 2**39),
    )
    home = Home(small if full == "paths.runs" else tmp_path / "runs")
    store = small / "store" if full == "paths.store" else tmp_path / "store"
    said = refused(capsys, *home.arguments(f"paths.store={store}"))
    assert "1 MiB free, and an experiment needs 500 MiB" in said and f"set {full} to a larger disk" in said
    assert not home.records.exists()


def test_a_language_model_is_refused_as_gold(
    smoke: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = titled(planned(), "sft reference")
    gold = smoke.home.artefact(stage) / "model"
    home = Home(tmp_path / "runs")
    own = [f"~gold.{key}" for key in ("model", "pairs", "fit")]
    said = refused(capsys, *home.arguments("gold.type=pretrained", f"+gold.path={gold}", *own))
    assert f"{gold} holds LlamaForCausalLM, not a reward model" in said
    assert not home.runs.exists()


# ---------------------------------------------------------------- no space left, broken records


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the world, but not for a model."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=768k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        ctypes.CDLL(None).umount2(str(folder).encode(), 2)


def test_a_disk_that_fills_up_is_named_and_what_is_finished_stays(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training.run, "LEAST_FREE_BYTES", 0)
    options = (f"paths.runs={tmp_path / 'runs'}", f"paths.store={small_disk}", "tracking.mode=disabled")
    (loaded,) = load(SMOKE, options)
    with pytest.raises(UserError, match=r"(?s)no space left.*the same command continues"):
        training.run.run(loaded.config)
    assert "✓ build the world" in capsys.readouterr().out
    sound = stored(planned(), Store(small_disk))
    assert len(sound) == len(list((small_disk / "artefacts").iterdir())) >= 1


@pytest.mark.parametrize("file", [f"{AMPLE}/points/000000/scores.parquet", "items.parquet"])
def test_a_truncated_table_is_named_by_report(
    home: Home, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    table = home.records / file
    replace(table, table.read_bytes()[:-100])
    said = refused(capsys, "report", str(home.records))
    assert said.startswith(f"{table}: not a readable Parquet file") and said.count("\n") == 1
