"""From artefacts to records: `runs/<experiment>/`, the only thing that `analysis` reads.

Most files are hard links to the store's, and the index has a row for every run that was planned. A first run
writes where it is read. Where there are records already, the new ones are made beside them and take their
place when they are whole.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from analysis.records.contracts import BETWEEN, SCHEMA
from training.config.load import resolved_yaml
from training.config.schema import Experiment
from training.engine.executor import State
from training.engine.stage import Plan, PlannedRun, Scored, Stage
from training.errors import UserError
from training.follow.causes import failures, why
from training.follow.folder import CONFIG, INDEX, read_index, replace, successor
from training.follow.points import add_audit, add_point, link_once
from training.follow.provenance import provenance
from training.sampling.pair_shares import SHARES
from training.store.atomic import write_bytes, write_json
from training.store.identity import digest

Status = Literal["running", "interrupted", "partial", "complete"]
"""Of an experiment. A command that is killed leaves it running."""


class Records:
    """The records of one experiment, filled while it runs."""

    def __init__(self, config: Experiment, plan: Plan, home: Path, store: Path) -> None:
        self.config, self.plan, self.home, self.store = config, plan, home, store
        self.mark = digest(sorted(stage.key for stage in plan.stages))[:20]
        self.old = read_index(home)
        self.same_plan = self.old is not None and self.old.get("plan") == self.mark
        self.folder = successor(home) if self.old else home
        """Where these records lie: where they are read, unless others are there."""
        self.missing: dict[str, str] = {}
        self.started = time.monotonic()

    def begin(self) -> None:
        """List what is planned."""
        if self.folder != self.home and self.folder.exists():
            shutil.rmtree(self.folder)
        # The index comes first: a folder without one is taken for somebody else's.
        self._write_index(State(), "running")
        write_bytes(self.folder / CONFIG, resolved_yaml(self.config).encode())

    def publish(self) -> Path:
        """Let these records be the experiment's; returns where they lie.

        What is complete gives way only to what is complete, and what another version of the code has left
        unfinished only to what came to an end.
        """
        if self.folder != self.home and self.old:
            old, new = self.old["status"], (read_index(self.folder) or {}).get("status")
            if new == "complete" or (old != "complete" and (self.same_plan or new == "partial")):
                replace(self.home)
                self.folder = self.home
        return self.folder

    def add(self, state: State) -> None:
        """Add what belongs to no single policy, as far as it is there; what cannot be added is a gap."""
        self.missing = {}
        for role, name in {"eval": "items", "pool": "pool_items"}.items():
            if role in self.plan.prompts and (drawn := _published(self.plan.prompts[role], state)):
                with self._or_a_gap(name):
                    link_once(drawn / "prompts.parquet", self.folder / f"{name}.parquet")
        for stage in self.plan.cards:
            if card := _published(stage, state):
                with self._or_a_gap(stage.title):
                    self._card(card / "card.json")
        if all(map(state.settled, self.plan.audits)):
            with self._or_a_gap("audit"):
                add_audit(_all_published(self.plan.audits, state), self.folder / "audit.parquet")
        for scored, place in (
            (self.plan.reference, "reference"),
            (self.plan.pool, "best_of_n/points/000000"),
        ):
            if scored and all(map(state.settled, scored.stages)):
                with self._or_a_gap(place):
                    self._shared_point(scored, state, self.folder / place)

    def _card(self, source: Path) -> None:
        document = json.loads(source.read_text())
        target = self.folder / "reward_models" / f"{document['name'].replace('/', '-')}.json"
        write_json(target, {"schema": SCHEMA, **document})

    def _shared_point(self, scored: Scored, state: State, target: Path) -> None:
        if drawn := _published(scored.samples, state):
            scores = [folder / "points" / "000000" for folder in _all_published(scored.scores, state)]
            add_point(drawn / "points" / "000000", scores, target)

    @contextlib.contextmanager
    def _or_a_gap(self, what: str) -> Iterator[None]:
        """What cannot be recorded is missing, said in the index and the log, and stops nothing else."""
        try:
            yield
        except UserError:  # no room on the disk
            raise
        except Exception as error:
            self.missing[what] = f"{type(error).__name__}: {error}"
            with (self.home / "logs" / "records.log").open("a", encoding="utf-8") as log:
                print(f"{what} could not be recorded:", file=log)
                traceback.print_exc(file=log)

    def point(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> Path:
        """Add one point of a run still going on, from the folders of its tables; returns its folder."""
        target = self.folder / run.row["run_id"] / "points" / samples.name
        add_point(samples, scores, target)
        return target

    def settled(self, run: PlannedRun, state: State) -> None:
        """Nothing more will happen to this run: its records are whole, and the index says so."""
        with contextlib.suppress(UserError):  # a full disk: `finish` meets it again, training goes on
            with self._or_a_gap(run.row["run_id"]):
                self._run(run, state, self._row(run, state, "running"))
            self._write_index(state, "running")

    def finish(self, state: State, status: Status) -> None:
        """Complete every run's records, those of failed runs as far as they came; write the index last."""
        self.add(state)
        for run in self.plan.runs:
            with self._or_a_gap(run.row["run_id"]):
                self._run(run, state, self._row(run, state, status))
        self._write_index(state, status)

    def _row(self, run: PlannedRun, state: State, otherwise: Status) -> dict[str, Any]:
        """A run's row of the index; `otherwise` is the status of a run that has not come to an end."""
        failed = next((stage for stage in run.points.stages if stage.key in state.failed), None)
        row: dict[str, Any] = {**run.row, "status": otherwise, "error": None}
        if failed:
            row |= {"status": "failed", "error": why(failed, state)}
        elif all(stage.key in state.done for stage in run.points.stages):
            row["status"] = "complete"
        if run.between:
            lost = [why(stage, state) for stage in run.between.stages if stage.key in state.failed]
            row["between_error"] = lost[0] if lost else None
        return row

    def _run(self, run: PlannedRun, state: State, row: Mapping[str, Any]) -> None:
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

    def _write_index(self, state: State, status: Status) -> None:
        """Write experiment.json.

        `wall_seconds.total` is the time of all commands that worked on these records; one that found
        everything done adds nothing, and leaves what was recorded of the machine as it was.
        """
        config = self.config
        before = self.old if self.same_plan and self.old else {"wall_seconds": {"total": 0.0}}
        worked = len(state.reused) < len(self.plan.stages)
        total = before["wall_seconds"]["total"] + (time.monotonic() - self.started) * worked
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
            "runs": [self._row(run, state, status) for run in self.plan.runs],
            "pool": _pool(config, self.plan),
            "proxies": {name: _proxy(config, name) for name in config.proxies},
            "wall_seconds": {"total": round(total, 3), **compute},
            "provenance": provenance() if worked else before.get("provenance", provenance()),
            "missing": self.missing | failures(self.plan, state),
            "plan": self.mark,
            "artefacts": {stage.title: state.names.get(stage.key) for stage in self.plan.stages},
        }
        write_json(self.folder / INDEX, document)


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
