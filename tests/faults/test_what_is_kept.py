"""What an interruption, a failed proxy or a broken card leaves in the records, and what it does not cost."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal

import psutil
import pytest
from experiments import Home, of_policies, overopt, planned, replace, reseal, survivors, titled, wait_for

from analysis.records.experiment import Experiment

STARVED, AMPLE, BUDGET = "rloo-path-starved", "rloo-path-ample", "rloo-budget-starved-kl0.3"
EVERY = len(planned().stages)


@pytest.mark.parametrize("started", ["fine-tune reference", "optimise"])
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
    assert json.loads((home.records / "experiment.json").read_text())["status"] == (
        "interrupted" if started == "optimise" else "complete"
    )
    assert not survivors(children)


def test_what_is_terminated_says_so_in_its_records_and_can_be_reported(home: Home, few_figures: None) -> None:
    home.forget(of_policies(planned()))
    process = home.start()
    wait_for(lambda: list(home.records.glob("rloo-*/points/*/scores.parquet")), process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and err.startswith("interrupted: "), err
    document = json.loads((home.records / "experiment.json").read_text())
    assert document["status"] == "interrupted" and document["wall_seconds"]["total"] > 1
    assert {row["status"] for row in document["runs"]} <= {"interrupted", "complete"}
    reported = overopt("report", str(home.records))
    assert reported.returncode == 0, reported.stderr
    page = (home.records / "report.html").read_text()
    assert "This experiment is interrupted: it was interrupted before its end" in page


def test_one_failed_proxy_leaves_the_others_their_report(home: Home, few_figures: None) -> None:
    home = Home(home.runs, name="one-fails")
    result = home.run("proxies.starved.fit.learning_rate=1e30", f"name={home.name}", report=True)
    assert result.returncode == 1 and result.stderr == "", result.stdout + result.stderr
    records = Experiment.read(home.records)
    assert {run.run_id: run.status for run in records.runs} == {
        STARVED: "failed", BUDGET: "failed", AMPLE: "complete"
    }  # fmt: skip
    gaps = records.gaps().groupby("run_id")["gap"].agg("; ".join).to_dict()
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
