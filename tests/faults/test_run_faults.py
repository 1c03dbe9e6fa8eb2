"""What goes wrong while an experiment runs stops what it must, says where, and costs nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from experiments import (
    Finished,
    Home,
    of_policies,
    overopt,
    planned,
    replace,
    reseal,
    result_of,
    survivors,
    titled,
    wait_for,
)
from safetensors.torch import load_file, save

from analysis.records.experiment import Experiment
from training.engine.processes import Failure, Job, attempt
from training.engine.stage import PlannedRun, Stage
from training.engine.worker import prepare

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


def test_a_proxy_of_nan_stops_its_own_runs_and_no_others(smoke: Finished, home: Home) -> None:
    poison(home, run_of(STARVED).train.inputs["proxy"])
    home.forget([*planned().audits, *of_policies(planned())])
    result = home.run(report=True)
    assert result.returncode == 1 and result.stderr == "", result.stdout + result.stderr
    # One policy with its four scorers and three audits; two policies with theirs, and the proxy's audit.
    assert f"8 stages run, {EVERY - 19} reused, 11 failed" in result.stdout, result.stdout
    for run_id in (STARVED, BUDGET):
        line = rf"✗ optimise {re.escape(run_id)}: .*holds weights that are not finite numbers"
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
    assert "1 of 3 planned runs completed" in page and "holds weights that are not finite numbers" in page


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
        r"The policy stopped at step [12]: (its logits|loss|grad_norm|KL|the step left)",
        failure.message,
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


@pytest.mark.parametrize("started", ["build the world", "optimise"])
def test_ctrl_c_ends_everything_quietly(home: Home, started: str) -> None:
    if started == "optimise":
        home.forget(of_policies(planned()))
    else:
        shutil.rmtree(home.store)
    process = home.start()
    assert process.stdout is not None
    line = next(line for line in process.stdout if f"… {started}" in line)
    assert line
    children = wait_for(lambda: psutil.Process(process.pid).children(recursive=True), process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    said = re.fullmatch(rf"interrupted: (\d+) of {EVERY} stages are kept; the same command continues\n", err)
    kept = EVERY - len(of_policies(planned()))
    assert said and (int(said[1]) >= kept) == (started == "optimise"), err
    assert index(home)["status"] == ("interrupted" if started == "optimise" else "complete")
    assert not survivors(children)


def test_what_is_terminated_says_so_in_its_records_and_can_be_reported(home: Home) -> None:
    home.forget(of_policies(planned()))
    process = home.start()
    wait_for(lambda: list(home.records.glob("rloo-*/points/*/scores.parquet")), process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and err.startswith("interrupted: "), err
    document = index(home)
    assert document["status"] == "interrupted" and document["wall_seconds"]["total"] > 1
    assert {row["status"] for row in document["runs"]} <= {"interrupted", "complete"}
    reported = overopt("report", str(home.records))
    assert reported.returncode == 0, reported.stderr
    page = (home.records / "report.html").read_text()
    assert "This experiment is interrupted: it was interrupted before its end" in page


def test_one_failed_proxy_leaves_the_others_their_report(home: Home) -> None:
    home = Home(home.runs, name="one-fails")
    result = home.run("proxies.starved.fit.learning_rate=1e30", f"name={home.name}", report=True)
    assert result.returncode == 1 and result.stderr == "", result.stdout + result.stderr
    records = Experiment.read(home.records)
    assert {run.run_id: run.status for run in records.runs} == {
        STARVED: "failed", BUDGET: "failed", AMPLE: "complete"
    }  # fmt: skip
    gaps = records.gaps().groupby("run_id")["gap"].agg("; ".join)
    assert {STARVED, BUDGET, "proxy starved/0"} <= set(gaps)
    assert "proxy starved/0 failed: " in gaps[BUDGET] and "is nan" in gaps[BUDGET]
    page = (home.records / "report.html").read_text()
    assert "1 of 3 planned runs completed" in page and "proxy starved/0 failed: " in page


def test_a_card_that_cannot_be_recorded_is_a_gap_and_ends_nothing(home: Home) -> None:
    card = titled(planned(), "card ample/0")
    file = home.artefact(card) / "card.json"
    replace(file, json.dumps(json.loads(file.read_text()) | {"ece": float("nan")}).encode())
    reseal(home.artefact(card))
    shutil.rmtree(home.records)
    result = home.run()
    assert result.returncode == 0 and f"{EVERY} reused" in result.stdout, result.stdout + result.stderr
    (gap,) = Experiment.read(home.records).gaps().to_dict("records")
    assert gap["run_id"] == "card ample/0" and "nan" in gap["gap"]
    assert "could not be recorded" in (home.records / "logs" / "records.log").read_text()
