"""Runs a plan: what may read gold in this process, all else in workers, points scored as they appear."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from training import environment
from training.engine.live_scores import LiveScores
from training.engine.stage import Plan, PlannedRun, Stage
from training.engine.worker import Failure, Job, Worker, attempt, prepare
from training.store.artefacts import Artefact, Store


@dataclass
class State:
    """Where every stage stands."""

    done: dict[str, Artefact] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    """Name to the time it started."""
    reused: set[str] = field(default_factory=set)

    def settled(self, stage: Stage) -> bool:
        """Whether nothing more will happen to it."""
        return stage.name in self.done or stage.name in self.failed


class Watcher:
    """Told what happens; the terminal's view and the W&B mirror are watchers."""

    def tick(self, state: State) -> None:
        """A moment has passed."""

    def point(self, run: PlannedRun, samples: Path, scores: Path) -> None:
        """A point was scored; its tables lie in the folders given, both named by its step."""


class Executor:
    """Runs the stages of a plan that the store does not hold yet."""

    def __init__(
        self, plan: Plan, store: Store, workers: int, logs: Path, watchers: Iterable[Watcher]
    ) -> None:
        self.plan, self.store, self.logs = plan, store, logs
        self.watchers = list(watchers)
        self.state = State()
        self.wanted_workers = workers
        self.workers: list[Worker] = []
        self.live: dict[str, LiveScores] = {}
        self.unscored: set[str] = set()
        self.by_policy = {run.train.name: run for run in plan.runs}
        self.last_tick = 0.0
        logs.mkdir(parents=True, exist_ok=True)
        for stage in plan.stages:
            if artefact := store.find(stage.identity):
                self.state.done[stage.name] = artefact
                self.state.reused.add(stage.name)

    def run(self) -> State:
        """Run everything; a stage that fails takes those that need it with it, and nothing else."""
        environment.apply(environment.ENVIRONMENT)
        try:
            while not all(self.state.settled(s) for s in self.plan.stages):
                self._hand_out()
                stage = next(self._ready(gold_side=True), None)
                if stage:
                    self._run_here(stage)
                elif not self._score_live():
                    time.sleep(0.05)
                self._look_around()
            for watcher in self.watchers:
                watcher.tick(self.state)
        finally:
            for worker in self.workers:
                worker.stop()
            for scores in self.live.values():
                scores.close()
        return self.state

    def _ready(self, gold_side: bool) -> Iterator[Stage]:
        for stage in self.plan.stages:
            if stage.gold_side != gold_side or self.state.settled(stage) or stage.name in self.state.running:
                continue
            broken = [i for i in stage.inputs.values() if i.name in self.state.failed]
            if broken:
                why = f"needs {broken[0].title}, which failed"
                self.state.failed[stage.name] = Failure(why, expected=True)
            elif all(i.name in self.state.done for i in stage.inputs.values()):
                yield stage

    def _score_live(self) -> bool:
        """Value the points that running policies have left so far; whether there were any."""
        found = False
        for name in self.state.running.keys() & self.by_policy.keys() - self.unscored:
            run = self.by_policy[name]
            if all(i in self.state.done for i in _needed_to_score(run)):
                with self._left_for_later(run):
                    if name not in self.live:
                        self.live[name] = self._begin_scores(run)
                    found |= self.live[name].poll(partial(self._announce, run))
        return found

    def _begin_scores(self, run: PlannedRun) -> LiveScores:
        prepare()  # where all else was reused, these are the first models that this process loads
        inputs = {k: self.state.done[s.name].path for k, s in run.score.inputs.items() if s is not run.train}
        return LiveScores(self.store, run, inputs, since=self.state.running[run.train.name])

    @contextlib.contextmanager
    def _left_for_later(self, run: PlannedRun) -> Iterator[None]:
        """Measuring must not harm training: after an error here, the stage that scores the finished run
        meets it again, and fails alone. (No error at all if another experiment is scoring the same run.)"""
        try:
            yield
        except Exception:
            with (self.logs / f"{run.score.name}.log").open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            self.unscored.add(run.train.name)
            if scores := self.live.pop(run.train.name, None):
                scores.close()

    def _announce(self, run: PlannedRun, samples: Path, scores: Path) -> None:
        for watcher in self.watchers:
            watcher.point(run, samples, scores)

    def _job(self, stage: Stage) -> Job:
        inputs = {name: self.state.done[i.name].path for name, i in stage.inputs.items()}
        return Job(self.store.root, stage.identity, stage.run, inputs, self.logs / f"{stage.name}.log")

    def _hand_out(self) -> None:
        """Give ready stages to idle workers, starting workers as they are needed."""
        for stage in self._ready(gold_side=False):
            worker = next((w for w in self.workers if w.job is None and w.alive), None)
            if worker is None:
                if sum(w.alive for w in self.workers) >= self.wanted_workers:
                    return
                worker = Worker()
                self.workers.append(worker)
            worker.start(self._job(stage), stage)
            self.state.running[stage.name] = time.time()

    def _look_around(self) -> None:
        """Collect finished work, score new points, tell the watchers; called while a stage runs here, too."""
        for worker in self.workers:
            if worker.job is not None and (ended := worker.finished()):
                self._settle(*ended)
        if time.time() - self.last_tick > 0.25:
            self.last_tick = time.time()
            for watcher in self.watchers:
                watcher.tick(self.state)

    def _settle(self, stage: Stage, failure: Failure | None) -> None:
        self.state.running.pop(stage.name, None)
        artefact = None if failure else self.store.find(stage.identity)
        if artefact:
            self.state.done[stage.name] = artefact
        else:
            self.state.failed[stage.name] = failure or Failure("its artefact vanished", expected=False)
        if scores := self.live.get(stage.name):
            self._end_scores(self.by_policy[stage.name], scores, complete=artefact is not None)

    def _end_scores(self, run: PlannedRun, scores: LiveScores, complete: bool) -> None:
        announce = partial(self._announce, run)
        with self._left_for_later(run):
            if complete:
                self.state.done[run.score.name] = scores.commit(announce)
            else:
                scores.poll(announce)  # the points of a failed run count as far as they go
        scores.close()
        self.live.pop(run.train.name, None)

    def _run_here(self, stage: Stage) -> None:
        self.state.running[stage.name] = time.time()
        job = self._job(stage)

        def on_step() -> None:
            self._look_around()
            self._hand_out()

        with _output_to(job.log):
            prepare()
            failure = attempt(job, on_step)
        self._settle(stage, failure)


def _needed_to_score(run: PlannedRun) -> list[str]:
    return [stage.name for stage in run.score.inputs.values() if stage is not run.train]


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what libraries print to a stage's log; the terminal keeps its own handle."""
    with (
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield
