"""Experiments through the real command: run, copied with hard links, tampered with, compared."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from places import CHECKOUT, SMOKE

from analysis.records.experiment import Experiment
from analysis.report.summary import summary
from analysis.tables.tables import tables
from training import cli
from training.config.load import load
from training.engine.plan import plan
from training.engine.stage import Plan, Stage
from training.store.artefacts import MANIFEST
from training.store.atomic import hash_file, read_json
from training.store.identity import Identity, canonical, digest

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def command(*arguments: str) -> list[str]:
    """The `overopt` command of this checkout, to be run in it."""
    return [sys.executable, "-m", "training.cli", *arguments]


def overopt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end without a terminal, in this process: imports are paid for once."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(CHECKOUT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit_,
    ):
        cli.main(list(arguments))
    return subprocess.CompletedProcess(arguments, int(exit_.value.code or 0), out.getvalue(), err.getvalue())


def overopt_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as users run it."""
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run(
        command(*arguments), cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=240
    )


def planned(*overrides: str, config: Path = SMOKE) -> Plan:
    """The plan of an experiment."""
    return plan(load(config, overrides)[0].config)


def titled(stages: Plan, title: str) -> Stage:
    """The stage that a person calls so."""
    (found,) = [stage for stage in stages.stages if stage.title == title]
    return found


def of_policies(stages: Plan) -> list[Stage]:
    """Policies and what values them; of the smoke experiment's three, each is a policy and four scorers."""
    return [stage for run in stages.runs for stage in run.stages]


@dataclass(frozen=True)
class Home:
    """A folder for experiments' records, with their store."""

    runs: Path
    config: Path = SMOKE
    name: str = "smoke"

    @property
    def store(self) -> Path:
        return self.runs / ".store"

    @property
    def records(self) -> Path:
        return self.runs / self.name

    def arguments(self, *options: str) -> list[str]:
        """Of the command that runs the experiment here; `options` are overrides and options of `run`."""
        return ["run", str(self.config), f"paths.runs={self.runs}", "tracking.mode=disabled", *options]

    def run(self, *options: str, report: bool = False) -> subprocess.CompletedProcess[str]:
        """Run with one worker and, unless asked for, without a report: neither changes a record."""
        return overopt(*self.arguments("workers=1", f"report={report}".lower(), *options))

    def run_alone(self) -> subprocess.CompletedProcess[str]:
        """Run as users do: a process of its own, the config's workers, a report."""
        return overopt_alone(*self.arguments())

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Run without waiting, in a process group of its own."""
        return subprocess.Popen(
            command(*self.arguments("report=false", *options)),
            cwd=CHECKOUT,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def identity(self, stage: Stage) -> Identity:
        """What names a stage's artefact; all that it is made of must be there."""
        return stage.identity(
            {name: read_json(folder / MANIFEST)["content"] for name, folder in self.inputs(stage).items()}
        )

    def artefact(self, stage: Stage) -> Path:
        return self.store / "artefacts" / self.identity(stage).name

    def inputs(self, stage: Stage) -> dict[str, Path]:
        return {name: self.artefact(source) for name, source in stage.inputs.items()}

    def published(self) -> int:
        return len(list((self.store / "artefacts").glob("*")))

    def forget(self, stages: Iterable[Stage]) -> None:
        """Remove artefacts and the records, so that they have to be made again."""
        shutil.rmtree(self.records, ignore_errors=True)
        for folder in [self.artefact(stage) for stage in stages]:
            shutil.rmtree(folder)

    def copy(self, runs: Path) -> Home:
        """An independent copy in hard links (replace files, never write into them), without a summary.

        Locks stay behind: a hard link is the same file, so whoever held it would hold the copy's too.
        """
        without = shutil.ignore_patterns("locks", "*.lock", "partial", "logs", "wandb", "summary.json")
        shutil.copytree(self.runs, runs, copy_function=os.link, ignore=without)
        return Home(runs, self.config, self.name)

    def summary(self) -> dict[str, Any]:
        """What a report summarises, refusing NaN and infinity, without the time it took."""
        file = self.records / "summary.json"
        if file.exists():
            text = file.read_text()
        else:
            experiment = Experiment.read(self.records)
            text = json.dumps(summary(experiment, tables(experiment)))

        def refuse(constant: str) -> None:
            raise AssertionError(f"the summary holds {constant}, which is not JSON")

        document: dict[str, Any] = json.loads(text, parse_constant=refuse)
        document.pop("wall_seconds")
        return document


@dataclass(frozen=True)
class Finished:
    """An experiment that was run to its end."""

    home: Home
    result: subprocess.CompletedProcess[str]


def result_of(policy: Path) -> dict[str, bytes]:
    """All that a policy's training decides: weights, samples and their parse, byte for byte."""
    files = [*policy.glob("model/*"), *policy.glob("points/*/*.parquet")]
    assert any(file.name == "model.safetensors" for file in files)
    return {str(file.relative_to(policy)): file.read_bytes() for file in sorted(files)}


def replace(file: Path, content: bytes) -> None:
    """Give one name of a hard link new content."""
    file.unlink()
    file.write_bytes(content)


def reseal(artefact: Path) -> None:
    """Make a tampered artefact pass for sound, and for the one that others were made from."""
    manifest = json.loads((artefact / MANIFEST).read_bytes())
    del manifest["seal"]
    for name in manifest["files"]:
        file = artefact / name
        manifest["files"][name] = {"sha256": hash_file(file), "bytes": file.stat().st_size}
    manifest = json.loads(canonical(manifest))
    replace(artefact / MANIFEST, json.dumps(manifest | {"seal": digest(manifest)}).encode())


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 120) -> Any:
    """Wait until `condition` gives something; a process that ends before is an error."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        time.sleep(0.005)
    process.kill()
    raise AssertionError(f"waited {seconds:.0f} s in vain: {process.communicate()}")


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9 the command alone; all that it started must end by itself."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert not survivors(children)


def survivors(processes: Iterable[psutil.Process], seconds: float = 3) -> list[psutil.Process]:
    """Those that still run after a while (a zombie does not)."""
    deadline = time.monotonic() + seconds
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.05)
    return left
