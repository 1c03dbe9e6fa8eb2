"""Scores of a run whose policy is still training: each point is valued as soon as it appears."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

from analysis.records.contracts import RecordError
from training.engine.stage import PlannedRun
from training.stages.score import scorer
from training.stages.task import Task
from training.store.artefacts import Artefact, Store
from training.store.journal import Journal


class LiveScores:
    """The scores artefact of one run, in the making; locked for this process until committed or closed."""

    def __init__(self, store: Store, run: PlannedRun, inputs: Mapping[str, Path], since: float) -> None:
        """Lock the scores artefact of `run`, whose policy began to train at the time `since`."""
        self.since = since
        self.places = (store.root / "partial" / run.train.name, store.artefacts / run.train.name)
        self.announced: set[str] = set()
        with contextlib.ExitStack() as stack:
            self.building = stack.enter_context(store.begin(run.score.identity, wait=False))
            self.building.reset()
            self.scores = self.building.path / "points"
            journal = Journal(self.building.path / "metrics.jsonl")
            task = Task(self.building.path, run.score.identity.settings, inputs, journal)
            self.scorer, self.items = scorer(task), task.world.prompts("eval")
            self.stack = stack.pop_all()  # without an error so far, the lock is kept until `close`

    def poll(self, announce: Callable[[Path, Path], None]) -> bool:
        """Score what has appeared since the last call; whether there was anything.

        Args:
            announce: called with the folders of each new point's samples and scores.
        """
        # The policy is published by one rename, at any moment: what vanishes from one place is in the other.
        try:
            return self._score(self.places[0], announce, self.since)
        except (FileNotFoundError, RecordError):
            if self.places[0].exists():
                raise
            return self._score(self.places[1], announce)

    def commit(self, announce: Callable[[Path, Path], None]) -> Artefact:
        """The policy is published: score what is left and publish the scores."""
        self._score(self.places[1], announce)
        artefact = self.building.commit()
        self.close()
        return artefact

    def _score(self, policy: Path, announce: Callable[[Path, Path], None], since: float = 0.0) -> bool:
        new = False
        for point in sorted((policy / "points").glob("[0-9]*")):
            # Left by an earlier attempt, which the worker may be about to clear away: valid if it is
            # there in the end.
            if point.stat().st_mtime < since:
                continue
            scores = self.scores / point.name
            if not (scores / "scores.parquet").exists():
                self.scorer.score(point, self.items, scores)
            if point.name not in self.announced:
                announce(point, scores)
                self.announced.add(point.name)
                new = True
        return new

    def close(self) -> None:
        """Give the lock back; what is scored stays."""
        self.stack.close()
