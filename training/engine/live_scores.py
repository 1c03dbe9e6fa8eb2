"""Scores of a run whose policy is still training: each point is valued as soon as it appears.

What the scores are named by is known only when the policy is whole. Until then they lie beside it, and are
moved into their artefacts at the end.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.records.contracts import RecordError
from training.engine.resolve import identity_of
from training.engine.stage import PlannedRun, Stage
from training.stages.task import Task
from training.store.artefacts import Artefact, Store
from training.store.identity import Identity
from training.store.journal import Journal
from training.store.lock import locked

Announce = Callable[[Path, Sequence[Path]], None]
"""Called with the folders of a new point's samples and of its scores, one per scorer."""


@dataclass(frozen=True)
class _Live:
    stage: Stage
    folder: Path
    write: Callable[[Path, Path], None]


class LiveScores:
    """All scores of one run, in the making; locked for this process until committed or closed."""

    def __init__(
        self, store: Store, run: PlannedRun, policy: Identity, done: Mapping[str, Artefact], since: float
    ) -> None:
        """Lock the scores of `run`, whose policy began to train at the time `since`.

        Args:
            policy: what names the policy.
            done: key → artefact, of all that the scorers need but the policy.
        """
        self.store, self.run, self.since = store, run, since
        self.places = (store.root / "partial" / policy.name, store.artefacts / policy.name)
        self.folder = store.root / "live" / policy.name
        self.announced: set[str] = set()
        self.known: set[str] = set()
        """Keys of scores that the store held already: the policy turned out to be one that it had before."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(store.root / "locks" / f"live-{policy.name}.lock", wait=False))
            shutil.rmtree(self.folder, ignore_errors=True)
            self.live = [self._begin(stage, done) for stage in run.points.scores]
            self.stack = stack.pop_all()  # without an error so far, the lock is kept until `close`

    def _begin(self, stage: Stage, done: Mapping[str, Artefact]) -> _Live:
        folder = self.folder / stage.key
        folder.mkdir(parents=True)
        inputs = {
            name: done[each.key].path if each.key in done else self.folder / each.key
            for name, each in stage.inputs.items()
            if each is not self.run.train
        }
        # Where the policy leaves its points: it has no items of its own, so those of eval are scored.
        inputs["samples"] = self.places[0]
        task = Task(folder, stage.settings, inputs, Journal(folder / "metrics.jsonl"))
        writer = importlib.import_module(stage.run.partition(":")[0]).writer
        return _Live(stage, folder, writer(task))

    def poll(self, announce: Announce) -> bool:
        """Score what has appeared since the last call; whether there was anything."""
        # The policy is published by one rename, at any moment: what vanishes from one place is in the other.
        try:
            return self._score(self.places[0], announce, self.since)
        except (FileNotFoundError, RecordError):
            if self.places[0].exists():
                raise
            return self._score(self.places[1], announce)

    def commit(self, announce: Announce, done: Mapping[str, Artefact]) -> dict[str, Artefact]:
        """The policy is published: score what is left and publish the scores, by their stages' keys."""
        self._score(self.places[1], announce)
        published: dict[str, Artefact] = {}
        for live in self.live:
            identity = identity_of(live.stage, {**done, **published})
            assert identity is not None, "its policy and its scorers are there"
            with self.store.begin(identity) as building:
                if building.artefact:
                    self.known.add(live.stage.key)
                else:
                    shutil.rmtree(building.path)
                    live.folder.rename(building.path)
                published[live.stage.key] = building.commit()
        self.close()
        return published

    def _score(self, policy: Path, announce: Announce, since: float = 0.0) -> bool:
        new = False
        for point in sorted((policy / "points").glob("[0-9]*")):
            # Left by an earlier attempt, which the worker may be about to clear away: valid if it is
            # there in the end.
            if point.name in self.announced or point.stat().st_mtime < since:
                continue
            for live in self.live:
                live.write(point, live.folder / "points" / point.name)
            announce(point, [live.folder / "points" / point.name for live in self.live])
            self.announced.add(point.name)
            new = True
        return new

    def close(self) -> None:
        """Give the lock back; what is scored and not published goes."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.stack.close()
