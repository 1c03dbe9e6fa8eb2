"""From artefacts to records: `runs/<experiment>/`, the only thing that `analysis` reads.

The files are hard links to the store's, and the index has a row for every run that was planned. A first run,
or one that continues an unfinished one of the same plan, writes where it is read. Where there is something
finished to lose, or the code has changed since, the records are made beside it and take its place when whole.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from analysis.records.contracts import BETWEEN, SCHEMA
from training.config.load import resolved_yaml
from training.config.schema import Experiment
from training.engine.executor import State
from training.engine.stage import Plan, PlannedRun, Stage
from training.errors import UserError
from training.follow.folder import CONFIG, INDEX, read_index, replace, successor
from training.follow.provenance import provenance
from training.sampling.pair_shares import SHARES
from training.store.atomic import link, write_bytes, write_json
from training.store.identity import digest

Status = Literal["running", "interrupted", "partial", "complete"]
"""Of an experiment. A command that is killed leaves it running."""


class Records:
    """The records of one experiment, filled while it runs."""

    def __init__(self, config: Experiment, plan: Plan, home: Path, store: Path) -> None:
        self.config, self.plan, self.home, self.store = config, plan, home, store
        self.mark = digest(sorted(stage.name for stage in plan.stages))[:20]
        self.old = read_index(home)
        self.continues = self.old is not None and self.old.get("plan") == self.mark
        finished = self.old is not None and self.old["status"] == "complete"
        self.folder = home if self.old is None or (self.continues and not finished) else successor(home)
        """Where these records lie."""
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

        What is complete gives way only to what is complete; what is unfinished to all that came to an end.
        """
        if self.folder == self.home:
            return self.home
        old, new = (index["status"] if index else None for index in (self.old, read_index(self.folder)))
        if new == "complete" or (new == "partial" and old != "complete"):
            replace(self.home)
            self.folder = self.home
        return self.folder

    def add(self, state: State) -> None:
        """Add what belongs to no single policy, as far as it is there; what cannot be added is a gap."""
        self.missing = {}
        for stage in self.plan.cards:
            if card := _published(stage, state):
                with self._or_a_gap(stage.title):
                    self._card(card / "card.json")
        if world := _published(self.plan.world, state):
            with self._or_a_gap("items"):
                link(world / "prompts-eval.parquet", self.folder / "items.parquet")
                if self.plan.pool:
                    link(world / "prompts-pool.parquet", self.folder / "pool_items.parquet")
        if self.plan.audit and (audit := _published(self.plan.audit, state)):
            with self._or_a_gap("audit"):
                link(audit / "audit.parquet", self.folder / "audit.parquet")
        for name, stages, target in (
            ("reference", self.plan.reference, self.folder / "reference"),
            ("best_of_n", self.plan.pool, self.folder / "best_of_n" / "points" / "000000"),
        ):
            if stages:
                with self._or_a_gap(name):
                    samples, scores = (_published(stage, state) for stage in stages)
                    _link_point(samples, scores, "000000", target)

    def _card(self, source: Path) -> None:
        document = json.loads(source.read_text())
        target = self.folder / "reward_models" / f"{document['name'].replace('/', '-')}.json"
        write_json(target, {"schema": SCHEMA, **document})

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

    def point(self, run: PlannedRun, samples: Path, scores: Path) -> Path:
        """Add one point of a run still going on, from the folders of its tables; returns its folder."""
        target = self.folder / run.row["run_id"] / "points" / samples.name
        for file in (samples / "samples.parquet", samples / "outcomes.parquet", scores / "scores.parquet"):
            link(file, target / file.name)
        for file in (samples / "hidden.parquet", scores / "approvals.parquet"):
            if file.exists():
                link(file, target / file.name)
        return target

    def settled(self, run: PlannedRun, state: State) -> None:
        """Nothing more will happen to this run: its records are whole, and the index says so."""
        with contextlib.suppress(UserError):  # a full disk: `finish` meets it again, training goes on
            with self._or_a_gap(run.row["run_id"]):
                self._run(run, state, self._row(run, state, "running"))
            self._write_index(state, "running")

    def finish(self, state: State, status: Status) -> None:
        """Complete every run's records, those of failed runs as far as they came; write the index last."""
        if self.continues and status == "complete" and not self._worked(state):
            # All of it was there: the records are what they were, but for files that have been damaged.
            if self.folder != self.home:
                shutil.rmtree(self.folder)
            self.folder = self.home
            write_bytes(self.folder / CONFIG, resolved_yaml(self.config).encode())
        self.add(state)
        for run in self.plan.runs:
            with self._or_a_gap(run.row["run_id"]):
                self._run(run, state, self._row(run, state, status))
        self._write_index(state, status)

    def _worked(self, state: State) -> bool:
        """Whether this command ran a stage, or began to."""
        return len(state.reused) < len(self.plan.stages)

    def _row(self, run: PlannedRun, state: State, otherwise: Status) -> dict[str, Any]:
        """A run's row of the index; `otherwise` is the status of a run that has not come to an end."""
        failed = next((stage for stage in (run.train, run.score) if stage.name in state.failed), None)
        row: dict[str, Any] = {**run.row, "status": otherwise, "error": None}
        if failed:
            row |= {"status": "failed", "error": _why(failed, state)}
        elif run.train.name in state.done and run.score.name in state.done:
            row["status"] = "complete"
        if run.between:
            lost = [_why(stage, state) for stage in run.between if stage.name in state.failed]
            row["between_error"] = lost[0] if lost else None
        return row

    def _run(self, run: PlannedRun, state: State, row: Mapping[str, Any]) -> None:
        samples = _published(run.train, state) or self.store / "partial" / run.train.name
        scores = _published(run.score, state) or self.store / "partial" / run.score.name
        target = self.folder / run.row["run_id"]
        names = sorted(p.name for p in (samples / "points").glob("[0-9]*"))
        for name in names:
            _link_point(samples, scores, name, target / "points" / name)
        if (metrics := samples / "metrics.jsonl").exists():
            # A copy: the journal of an unfinished attempt will still be written to.
            write_bytes(target / "metrics.jsonl", metrics.read_bytes())
        if run.between:
            self._between(run.between, state, target / "between")
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

    def _between(self, stages: tuple[Stage, Stage], state: State, target: Path) -> None:
        """The policies interpolated between a run's checkpoints: whole, or not at all."""
        samples, scores = (_published(stage, state) for stage in stages)
        if samples and scores:
            for point in sorted((samples / "points").glob("[0-9]*")):
                _link_point(samples, scores, point.name, target / "points" / point.name)
            link(samples / BETWEEN, target / BETWEEN)

    def _write_index(self, state: State, status: Status) -> None:
        """Write experiment.json.

        `wall_seconds.total` is the time of all commands that worked on these records; one that found
        everything done adds nothing, and leaves what was recorded of the machine as it was.
        """
        config = self.config
        before = self.old if self.continues and self.old else {"wall_seconds": {"total": 0.0}}
        worked = self._worked(state)
        total = before["wall_seconds"]["total"] + (time.monotonic() - self.started) * worked
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
            "runs": [self._row(run, state, status) for run in self.plan.runs],
            "pool": _pool(config, self.plan),
            "proxies": {name: _proxy(config, name) for name in config.proxies},
            "wall_seconds": {"total": round(total, 3), **compute},
            "provenance": provenance() if worked else before.get("provenance", provenance()),
            "missing": self.missing | _failures(self.plan, state),
            "plan": self.mark,
            "artefacts": {stage.title: stage.name for stage in self.plan.stages},
        }
        write_json(self.folder / INDEX, document)


def _published(stage: Stage, state: State) -> Path | None:
    artefact = state.done.get(stage.name)
    return artefact.path if artefact else None


def _why(stage: Stage, state: State) -> str:
    """Why a stage failed, in the words of the one that began it."""
    for source in stage.inputs.values():
        if source.name in state.failed:
            first = _first(source, state)
            return f"{first.title} failed: {state.failed[first.name].message}"
    return state.failed[stage.name].message


def _first(stage: Stage, state: State) -> Stage:
    failed = next((source for source in stage.inputs.values() if source.name in state.failed), None)
    return _first(failed, state) if failed else stage


def _failures(plan: Plan, state: State) -> dict[str, str]:
    """Title and reason of the stages that failed and belong to no single run."""
    of_runs = {stage.name for run in plan.runs for stage in run.stages}
    return {
        stage.title: _why(stage, state)
        for stage in plan.stages
        if stage.name in state.failed and stage.name not in of_runs
    }


def _link_point(samples: Path | None, scores: Path | None, point: str, target: Path) -> None:
    for source, names in ((samples, ("samples", "outcomes", "hidden")), (scores, ("scores", "approvals"))):
        for name in names:
            if source and (file := source / "points" / point / f"{name}.parquet").exists():
                link(file, target / file.name)


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
