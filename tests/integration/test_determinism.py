"""Results depend on the config alone: not on workers, on being watched, or on being killed and continued."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from experiments import Finished, Home, kill, of_policies, planned, result_of, titled, wait_for
from places import SMOKE

from training.engine.processes import Job, run_job
from training.engine.stage import Stage
from training.engine.worker import prepare
from training.store.artefacts import Artefact
from training.store.journal import follow
from training.store.lock import locked


def train_here(stage: Stage, settings: Mapping[str, Any], home: Home, tmp_path: Path) -> Artefact:
    """What a worker does with a stage whose inputs are at home, in this process and a store of its own."""
    prepare()
    identity = replace(home.identity(stage), settings={**stage.settings, **settings})
    return run_job(Job(tmp_path / "other store", identity, stage.run, home.inputs(stage), tmp_path / "log"))


def test_one_worker_gives_the_same_bytes_as_two(smoke: Finished, home: Home) -> None:
    plan = planned()
    proxies = [stage for stage in plan.stages if stage.kind == "proxy"]
    policies = [run.train for run in plan.runs]
    home.forget([*proxies, *of_policies(plan)])
    result = home.run()
    reused = len(plan.stages) - 17
    assert result.returncode == 0 and f"17 stages run, {reused} reused" in result.stdout, result.stdout
    for stage in proxies:
        name = "model/model.safetensors"
        assert (home.artefact(stage) / name).read_bytes() == (smoke.home.artefact(stage) / name).read_bytes()
    for stage in policies:
        assert result_of(home.artefact(stage)) == result_of(smoke.home.artefact(stage))
    assert home.summary() == smoke.home.summary()


def test_weights_do_not_depend_on_being_measured(smoke: Finished, tmp_path: Path) -> None:
    for run in planned().runs[1:]:  # a path and a budget
        measured = result_of(smoke.home.artefact(run.train))
        alone = train_here(run.train, {"measure": False}, smoke.home, tmp_path)
        unmeasured = result_of(alone.path)
        weights = {name for name in measured if name.startswith("model/")}
        assert set(unmeasured) == weights and len(weights) < len(measured)
        assert {name: measured[name] for name in weights} == unmeasured


# ---------------------------------------------------------------- kill -9


@pytest.fixture
def long_run(home: Home, tmp_path: Path) -> Home:
    """The smoke experiment with one longer policy instead of three, which leaves checkpoints."""
    config = yaml.safe_load(SMOKE.read_text())
    config["policy"] |= {"steps": 16, "checkpoint_every": 2}
    config["name"] = "long"
    config["runs"] = {"long": {"proxies": ["ample"], "control": {"type": "target", "budgets": [1.0]}}}
    path = tmp_path / "long.yaml"
    path.write_text(yaml.safe_dump(config))
    return Home(home.runs, path, "long")


def test_a_killed_run_continues_to_the_same_bytes(long_run: Home, tmp_path: Path) -> None:
    home = long_run
    (run,) = planned(config=home.config).runs
    partial = home.store / "partial" / home.identity(run.train).name
    process = home.start()
    wait_for(lambda: list(partial.glob("checkpoints/checkpoint-[468]/sealed.json")), process)
    kill(process)
    killed = time.time()
    assert partial.is_dir() and not home.artefact(run.train).exists(), "killed too late to prove anything"

    result = home.run()
    assert result.returncode == 0, result.stdout + result.stderr
    continued = home.artefact(run.train)
    lines, _ = follow(continued / "metrics.jsonl", 0)
    assert lines[0]["time"] < killed < lines[-1]["time"], "it began anew instead"
    whole = train_here(run.train, {}, home, tmp_path).path
    assert result_of(continued) == result_of(whole)
    uninterrupted, _ = follow(whole / "metrics.jsonl", 0)
    assert [line["step"] for line in lines] == [line["step"] for line in uninterrupted]
    exact = ("reward", "kl_sequence", "beta")
    for key in exact:
        assert [line.get(key) for line in lines] == [line.get(key) for line in uninterrupted]
    points = json.loads((home.records / run.row["run_id"] / "manifest.json").read_text())["points"]
    scored = home.records.glob(f"{run.row['run_id']}/points/*/scores.parquet")
    assert sorted(int(path.parent.name) for path in scored) == points
    assert points[0] == 0 and points[-1] == 16


def test_killed_at_any_moment_the_same_command_finishes_the_job(smoke: Finished, home: Home) -> None:
    home.forget([titled(planned(), "sft reference"), *of_policies(planned())])
    chance = random.Random(1)
    for begun in ("sft", "policy"):  # while it fine-tunes, and while it optimises policies
        process = home.start()
        journals = f"partial/{begun}-*/metrics.jsonl"
        wait_for(lambda journals=journals: list(home.store.glob(journals)), process)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 1))
        assert process.poll() is None, "killed too late to prove anything"
        kill(process)
    result = home.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (home.store / "damaged").exists()
    assert not list((home.store / "partial").iterdir())
    assert home.summary() == smoke.home.summary()
    for run in planned().runs:
        assert result_of(home.artefact(run.train)) == result_of(smoke.home.artefact(run.train))


def test_scores_that_another_experiment_is_making_harm_nothing(home: Home) -> None:
    plan = planned()
    run, fewer = plan.runs[0], ("~runs.budget", "runs.path.proxies=[starved]")
    policy = home.artefact(run.train)
    home.forget(of_policies(plan))
    with locked(home.store / "locks" / f"live-{policy.name}.lock", wait=False):
        process = home.start(*fewer)
        wait_for(policy.exists, process)
    out, err = process.communicate(timeout=120)
    reused = len(planned(*fewer).stages) - 5
    assert process.returncode == 0 and f"5 stages run, {reused} reused, 0 failed" in out, out + err
    for stage in run.points.scores:
        name = "approvals" if stage.kind == "approvals" else "scores"
        assert (home.artefact(stage) / "points" / "000000" / f"{name}.parquet").exists()
