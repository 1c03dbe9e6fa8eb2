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
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from analysis.records.contracts import BETWEEN, SCHEMA
from training.config.load import resolved_yaml
from training.config.schema import Experiment
from training.engine.executor import State
from training.engine.stage import Plan, PlannedRun, Scored, Stage
from training.follow.points import add_audit, add_point, link_once
from training.sampling.pair_shares import SHARES
from training.store.artefacts import versions
from training.store.atomic import write_bytes, write_json
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
        for role, name in {"eval": "items", "pool": "pool_items"}.items():
            if role in self.plan.prompts and (drawn := _published(self.plan.prompts[role], state)):
                link_once(drawn / "prompts.parquet", self.folder / f"{name}.parquet")
        for stage in self.plan.cards:
            if card := _published(stage, state):
                document = json.loads((card / "card.json").read_text())
                target = self.folder / "reward_models" / f"{document['name'].replace('/', '-')}.json"
                write_json(target, {"schema": SCHEMA, **document})
        if all(map(state.settled, self.plan.audits)):
            add_audit(_all_published(self.plan.audits, state), self.folder / "audit.parquet")
        for scored, place in (
            (self.plan.reference, "reference"),
            (self.plan.pool, "best_of_n/points/000000"),
        ):
            if (
                scored
                and all(map(state.settled, scored.stages))
                and (drawn := _published(scored.samples, state))
            ):
                scores = [folder / "points" / "000000" for folder in _all_published(scored.scores, state)]
                add_point(drawn / "points" / "000000", scores, self.folder / place)

    def point(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> Path:
        """Add one point of a run still going on, from the folders of its tables; returns its folder."""
        target = self.folder / run.row["run_id"] / "points" / samples.name
        add_point(samples, scores, target)
        return target

    def finish(self, state: State, wall_seconds: float) -> None:
        """Complete every run's records, those of failed runs as far as they came; write the index last."""
        self.add(state)
        rows = [self._run(run, state) for run in self.plan.runs]
        self._write_index(state, rows, "partial" if state.failed else "complete", wall_seconds)

    def _run(self, run: PlannedRun, state: State) -> dict[str, Any]:
        failures = [state.failed[stage.key] for stage in run.points.stages if stage.key in state.failed]
        failure = failures[0] if failures else None
        samples = _published(run.train, state) or self._partial(run.train, state)
        target = self.folder / run.row["run_id"]
        names = sorted(p.name for p in (samples / "points").glob("[0-9]*"))
        for name in names:
            scores = [folder / "points" / name for folder in _all_published(run.points.scores, state)]
            add_point(samples / "points" / name, scores, target / "points" / name)
        if (metrics := samples / "metrics.jsonl").exists():
            # A copy: the journal of an unfinished attempt will still be written to.
            write_bytes(target / "metrics.jsonl", metrics.read_bytes())
        if (learnt := samples / "mitigation.parquet").exists():
            link_once(learnt, target / learnt.name)
        if run.between:
            self._between(run.between, state, target / "between")
        status = (
            {"status": "failed", "error": failure.message}
            if failure
            else {"status": "complete", "error": None}
        )
        row = {**run.row, **status}
        if run.between:
            stages = run.between.stages
            lost = [state.failed[stage.key].message for stage in stages if stage.key in state.failed]
            row["between_error"] = lost[0] if lost else None
        artefacts = {stage.title: state.names.get(stage.key) for stage in run.points.stages}
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

    def _partial(self, stage: Stage, state: State) -> Path:
        """Where a stage that did not end has left what it had."""
        return self.store / "partial" / state.names.get(stage.key, "never started")

    def _between(self, scored: Scored, state: State, target: Path) -> None:
        """The policies interpolated between a run's checkpoints: whole, or not at all."""
        folders = _all_published(scored.stages, state)
        if len(folders) == len(scored.stages):
            samples, *scores = folders
            for point in sorted((samples / "points").glob("[0-9]*")):
                by_all = [folder / "points" / point.name for folder in scores]
                add_point(point, by_all, target / "points" / point.name)
            link_once(samples / BETWEEN, target / BETWEEN)

    def _write_index(
        self, state: State, rows: list[dict[str, Any]], status: str, wall_seconds: float
    ) -> None:
        config = self.config
        compute: dict[str, float] = {}
        for stage in self.plan.stages:
            if artefact := state.done.get(stage.key):
                kind = stage.kind
                compute[kind] = round(compute.get(kind, 0.0) + artefact.meta.get("compute_seconds", 0.0), 3)
        document = {
            "schema": SCHEMA,
            "experiment": config.name,
            "world": config.world.type,
            "has_oracle": config.world.has_oracle,
            "status": status,
            "seed": config.seed,
            "headline_behaviour": config.headline_behaviour,
            "runs": rows,
            "pool": _pool(config, self.plan),
            "proxies": {name: _proxy(config, name) for name in config.proxies},
            "wall_seconds": {"total": round(wall_seconds, 3), **compute},
            "provenance": provenance(),
            "artefacts": {stage.title: state.names.get(stage.key) for stage in self.plan.stages},
        }
        write_json(self.folder / "experiment.json", document)


def _published(stage: Stage, state: State) -> Path | None:
    artefact = state.done.get(stage.key)
    return artefact.path if artefact else None


def _all_published(stages: Sequence[Stage], state: State) -> list[Path]:
    return [folder for stage in stages if (folder := _published(stage, state))]


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
