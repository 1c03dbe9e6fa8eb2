"""Runs a plan: what may read gold in this process, all else in workers, points scored as they appear."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from training import environment
from training.engine.processes import Failure, Job, Worker, attempt
from training.engine.quiet import silence
from training.engine.resolve import identity_of, stored
from training.engine.stage import Plan, PlannedRun, Stage, log_name
from training.engine.worker import ENVIRONMENT, prepare
from training.store.artefacts import Artefact, Store
from training.store.identity import Identity

if TYPE_CHECKING:
    from training.engine.live_scores import LiveScores


@dataclass
class State:
    """Where every stage stands; stages go by their keys."""

    done: dict[str, Artefact] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    """Key to the time it started."""
    reused: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    """Key to the name of the artefact, of every stage that was started."""

    def settled(self, stage: Stage) -> bool:
        """Whether nothing more will happen to it."""
        return stage.key in self.done or stage.key in self.failed


class Watcher:
    """Told what happens; the terminal's view and the W&B mirror are watchers."""

    def tick(self, state: State) -> None:
        """A moment has passed."""

    def point(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> None:
        """A point was scored; its tables lie in the folders given, all named by its step."""


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
        self.by_policy = {run.train.key: run for run in plan.runs}
        self.last_tick = 0.0
        self.importing: threading.Thread | None = None
        logs.mkdir(parents=True, exist_ok=True)
        for key, artefact in stored(plan, store).items():
            self._reuse(key, artefact)

    def run(self) -> State:
        """Run everything; a stage that fails takes those that need it with it, and nothing else."""
        environment.apply(ENVIRONMENT)
        try:
            while not all(self.state.settled(s) for s in self.plan.stages):
                self._hand_out()
                ready = next(self._ready(gold_side=True), None)
                if ready and self._libraries_are_here():
                    self._run_here(*ready)
                elif not self._score_live():
                    time.sleep(0.05)
                self._look_around()
            for watcher in self.watchers:
                watcher.tick(self.state)
        finally:
            for worker in self.workers:
                worker.stop()
            if self.importing:
                self.importing.join()  # a thread that is cut off within an import can take the process down
            for scores in self.live.values():
                scores.close()
        return self.state

    def _libraries_are_here(self) -> bool:
        """Whether this process can load models. Until it can, which takes seconds, it goes on handing out
        work and telling what happens."""
        if self.importing is None:
            self.importing = threading.Thread(target=_prepare_here, daemon=True)
            self.importing.start()
        return not self.importing.is_alive()

    def _reuse(self, key: str, artefact: Artefact) -> None:
        self.state.done[key] = artefact
        self.state.names[key] = artefact.path.name
        self.state.reused.add(key)

    def _ready(self, gold_side: bool) -> Iterator[tuple[Stage, Identity]]:
        for stage in self.plan.stages:
            if stage.gold_side != gold_side or self.state.settled(stage) or stage.key in self.state.running:
                continue
            broken = [i for i in stage.inputs.values() if i.key in self.state.failed]
            if broken:
                why = f"needs {broken[0].title}, which failed"
                self.state.failed[stage.key] = Failure(why, expected=True)
            elif identity := identity_of(stage, self.state.done):
                self.state.names[stage.key] = identity.name
                # What changed upstream may have left the same bytes: then nothing changes here.
                if artefact := self.store.find(identity):
                    self._reuse(stage.key, artefact)
                else:
                    yield stage, identity

    def _score_live(self) -> bool:
        """Value the points that running policies have left so far; whether there were any."""
        found = False
        for key in self.state.running.keys() & self.by_policy.keys() - self.unscored:
            run = self.by_policy[key]
            if all(i in self.state.done for i in _needed_to_score(run)) and self._libraries_are_here():
                with self._left_for_later(run):
                    if key not in self.live:
                        self.live[key] = self._begin_scores(run)
                    found |= self.live[key].poll(partial(self._announce, run))
        return found

    def _begin_scores(self, run: PlannedRun) -> LiveScores:
        from training.engine.live_scores import LiveScores  # torch: not needed where all is reused

        _prepare_here()
        policy = identity_of(run.train, self.state.done)
        assert policy is not None, "it is being trained"
        return LiveScores(self.store, run, policy, self.state.done, since=self.state.running[run.train.key])

    @contextlib.contextmanager
    def _left_for_later(self, run: PlannedRun) -> Iterator[None]:
        """Measuring must not harm training: after an error here, the stage that scores the finished run
        meets it again, and fails alone. (No error at all if another experiment is scoring the same run.)"""
        try:
            yield
        except Exception:
            with self._log(run.points.scores[0]).open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            self.unscored.add(run.train.key)
            if scores := self.live.pop(run.train.key, None):
                scores.close()

    def _announce(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> None:
        for watcher in self.watchers:
            watcher.point(run, samples, scores)

    def _job(self, stage: Stage, identity: Identity) -> Job:
        inputs = {name: self.state.done[i.key].path for name, i in stage.inputs.items()}
        return Job(self.store.root, identity, stage.run, inputs, self._log(stage), self.plan.plugins)

    def _log(self, stage: Stage) -> Path:
        """Where what a stage prints is kept."""
        return self.logs / log_name(stage)

    def _hand_out(self) -> None:
        """Give ready stages to idle workers, starting workers as they are needed."""
        for stage, identity in self._ready(gold_side=False):
            worker = next((w for w in self.workers if w.job is None and w.alive), None)
            if worker is None:
                if sum(w.alive for w in self.workers) >= self.wanted_workers:
                    return
                worker = Worker()
                self.workers.append(worker)
            worker.start(self._job(stage, identity), (stage, identity))
            self.state.running[stage.key] = time.time()

    def _look_around(self) -> None:
        """Collect finished work, score new points, tell the watchers; called while a stage runs here, too."""
        for worker in self.workers:
            if worker.job is not None and (ended := worker.finished()):
                (stage, identity), failure = ended
                self._settle(stage, identity, failure)
        if time.time() - self.last_tick > 0.25:
            self.last_tick = time.time()
            for watcher in self.watchers:
                watcher.tick(self.state)

    def _settle(self, stage: Stage, identity: Identity, failure: Failure | None) -> None:
        self.state.running.pop(stage.key, None)
        artefact = None if failure else self.store.find(identity)
        if artefact:
            self.state.done[stage.key] = artefact
        else:
            self.state.failed[stage.key] = failure or Failure("its artefact vanished", expected=False)
        if scores := self.live.get(stage.key):
            self._end_scores(self.by_policy[stage.key], scores, complete=artefact is not None)

    def _end_scores(self, run: PlannedRun, scores: LiveScores, complete: bool) -> None:
        announce = partial(self._announce, run)
        with self._left_for_later(run):
            if complete:
                for key, artefact in scores.commit(announce, self.state.done).items():
                    self.state.done[key] = artefact
                    self.state.names[key] = artefact.path.name
                self.state.reused |= scores.known
            else:
                scores.poll(announce)  # the points of a failed run count as far as they go
        scores.close()
        self.live.pop(run.train.key, None)

    def _run_here(self, stage: Stage, identity: Identity) -> None:
        self.state.running[stage.key] = time.time()
        job = self._job(stage, identity)

        def on_step() -> None:
            self._look_around()
            self._hand_out()

        with _output_to(job.log):
            _prepare_here()
            failure = attempt(job, on_step)
        self._settle(stage, identity, failure)


def _prepare_here() -> None:
    """Make this process ready to load models."""
    prepare()
    silence()


def _needed_to_score(run: PlannedRun) -> set[str]:
    """Keys of what must be there before the first point of a policy can be scored."""
    own = {run.train.key, *(stage.key for stage in run.points.scores)}
    return {i.key for stage in run.points.scores for i in stage.inputs.values()} - own


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what libraries print to a stage's log; the terminal keeps its own handle."""
    with (
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield
