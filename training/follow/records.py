"""From artefacts to records: `runs/<experiment>/`, the only thing that `analysis` reads.

The files are hard links to the store's. The directory is made anew from the plan at every run, so that it
always shows the experiment that its config.yaml describes, with a row for every run that was planned.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from analysis.records.contracts import BETWEEN, SCHEMA
from training.config.load import resolved_yaml
from training.config.schema import Experiment
from training.engine.executor import State
from training.engine.stage import Plan, PlannedRun, Stage
from training.sampling.pair_shares import SHARES
from training.store.artefacts import versions
from training.store.atomic import link, write_bytes, write_json
from training.store.code_identity import ROOT

KEPT = {"experiment.json", "logs", "wandb"}
"""What a run directory holds beside the records of an earlier run."""


class Records:
    """The records of one experiment, filled while it runs."""

    def __init__(self, config: Experiment, plan: Plan, folder: Path, store: Path) -> None:
        self.config, self.plan, self.folder, self.store = config, plan, folder, store

    def begin(self) -> None:
        """List what is planned and remove the records of an earlier run."""
        # The index comes first: a folder without one is taken for somebody else's.
        rows = [{**run.row, "status": "running", "error": None} for run in self.plan.runs]
        self._write_index(State(), rows, "running", 0.0)
        for old in self.folder.iterdir():
            if old.name not in KEPT and not old.name.startswith("."):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        write_bytes(self.folder / "config.yaml", resolved_yaml(self.config).encode())

    def add(self, state: State) -> None:
        """Add what belongs to no single policy, as far as it is there."""
        if world := _published(self.plan.world, state):
            _link(world / "prompts-eval.parquet", self.folder / "items.parquet")
            _link(world / "prompts-pool.parquet", self.folder / "pool_items.parquet")
        for stage in self.plan.cards:
            if card := _published(stage, state):
                document = json.loads((card / "card.json").read_text())
                target = self.folder / "reward_models" / f"{document['name'].replace('/', '-')}.json"
                write_json(target, {"schema": SCHEMA, **document})
        if self.plan.audit and (audit := _published(self.plan.audit, state)):
            _link(audit / "audit.parquet", self.folder / "audit.parquet")
        if self.plan.reference:
            samples, scores = (_published(stage, state) for stage in self.plan.reference)
            _link_point(samples, scores, "000000", self.folder / "reference")
        if self.plan.pool:
            samples, scores = (_published(stage, state) for stage in self.plan.pool)
            _link_point(samples, scores, "000000", self.folder / "best_of_n" / "points" / "000000")

    def point(self, run: PlannedRun, samples: Path, scores: Path) -> Path:
        """Add one point of a run still going on, from the folders of its tables; returns its folder."""
        target = self.folder / run.row["run_id"] / "points" / samples.name
        for file in (samples / "samples.parquet", samples / "outcomes.parquet", scores / "scores.parquet"):
            _link(file, target / file.name)
        for file in (samples / "hidden.parquet", samples / "rewards.parquet", scores / "approvals.parquet"):
            if file.exists():
                _link(file, target / file.name)
        return target

    def finish(self, state: State, wall_seconds: float) -> None:
        """Complete every run's records, those of failed runs as far as they came; write the index last."""
        self.add(state)
        rows = [self._run(run, state) for run in self.plan.runs]
        self._write_index(state, rows, "partial" if state.failed else "complete", wall_seconds)

    def _run(self, run: PlannedRun, state: State) -> dict[str, Any]:
        failure = state.failed.get(run.train.name) or state.failed.get(run.score.name)
        samples = _published(run.train, state) or self.store / "partial" / run.train.name
        scores = _published(run.score, state) or self.store / "partial" / run.score.name
        target = self.folder / run.row["run_id"]
        names = sorted(p.name for p in (samples / "points").glob("[0-9]*"))
        for name in names:
            _link_point(samples, scores, name, target / "points" / name)
        if (metrics := samples / "metrics.jsonl").exists():
            # A copy: the journal of an unfinished attempt will still be written to.
            write_bytes(target / "metrics.jsonl", metrics.read_bytes())
        if (learnt := samples / "mitigation.parquet").exists():
            _link(learnt, target / learnt.name)
        if run.between:
            self._between(run.between, state, target / "between")
        status = (
            {"status": "failed", "error": failure.message}
            if failure
            else {"status": "complete", "error": None}
        )
        row = {**run.row, **status}
        if run.between:
            lost = [state.failed[stage.name].message for stage in run.between if stage.name in state.failed]
            row["between_error"] = lost[0] if lost else None
        artefacts = {"policy": run.train.identity.id, "scores": run.score.identity.id}
        seconds = samples / "seconds.json"
        document = {
            "schema": SCHEMA,
            **row,
            "points": [int(name) for name in names],
            "artefacts": artefacts,
            "seconds": json.loads(seconds.read_text()) if seconds.exists() else None,
        }
        write_json(target / "manifest.json", document)
        return row

    def _between(self, stages: tuple[Stage, Stage], state: State, target: Path) -> None:
        """The policies interpolated between a run's checkpoints: whole, or not at all."""
        samples, scores = (_published(stage, state) for stage in stages)
        if samples and scores:
            for point in sorted((samples / "points").glob("[0-9]*")):
                _link_point(samples, scores, point.name, target / "points" / point.name)
            _link(samples / BETWEEN, target / BETWEEN)

    def _write_index(
        self, state: State, rows: list[dict[str, Any]], status: str, wall_seconds: float
    ) -> None:
        config = self.config
        compute: dict[str, float] = {}
        for stage in self.plan.stages:
            if artefact := state.done.get(stage.name):
                kind = stage.identity.stage
                compute[kind] = round(compute.get(kind, 0.0) + artefact.meta.get("compute_seconds", 0.0), 3)
        document = {
            "schema": SCHEMA,
            "experiment": config.name,
            "world": config.world.type,
            "has_oracle": config.world.has_oracle,
            "status": status,
            "seed": config.seed,
            "runs": rows,
            "pool": _pool(config, self.plan),
            "proxies": {name: _proxy(config, name) for name in config.proxies},
            "wall_seconds": {"total": round(wall_seconds, 3), **compute},
            "provenance": provenance(),
            "artefacts": {stage.title: stage.name for stage in self.plan.stages},
        }
        write_json(self.folder / "experiment.json", document)


def _published(stage: Stage, state: State) -> Path | None:
    artefact = state.done.get(stage.name)
    return artefact.path if artefact else None


def _link(source: Path, target: Path) -> None:
    if not target.exists():
        link(source, target)


def _link_point(samples: Path | None, scores: Path | None, point: str, target: Path) -> None:
    made = ("samples", "outcomes", "hidden", "rewards")
    for source, names in ((samples, made), (scores, ("scores", "approvals"))):
        for name in names:
            if source and (file := source / "points" / point / f"{name}.parquet").exists():
                _link(file, target / file.name)


def _proxy(config: Experiment, name: str) -> dict[str, Any]:
    """What figures know of a proxy: its size, who labelled its pairs, and its place in a series."""
    proxy, annotator = config.proxies[name], config.annotator_of(name)
    return {
        "pairs": config.pairs(name),
        "seeds": proxy.seeds,
        "annotator": annotator.type if annotator else None,
        **{field: proxy.shares.get(field) for field in SHARES},
        "dose": proxy.dose.model_dump() if proxy.dose else None,
    }


def _pool(config: Experiment, plan: Plan) -> dict[str, Any] | None:
    if not plan.pool or not config.best_of_n:
        return None
    return {"run_id": "best_of_n", **config.best_of_n.model_dump(), "proxies": list(config.proxies)}


def provenance() -> Mapping[str, Any]:
    """Where, when and with what the experiment was run."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
        "packages": {"python": platform.python_version(), **versions()},
        "hardware": {
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        },
    }


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None
