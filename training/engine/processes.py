"""Worker processes: each pays for Python and the import of the trainers once, then takes stage after stage.

Only stages that may not read gold are sent here. A worker ends at once when the process that started it
does, however that happens.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from training.engine.quiet import silence
from training.engine.worker import prepare, work
from training.errors import Diverged, UserError
from training.plugins import load_plugins
from training.stages.task import Task
from training.store.artefacts import Artefact, Store
from training.store.atomic import is_full, no_space
from training.store.identity import Identity
from training.store.journal import Journal


@dataclass(frozen=True)
class Job:
    """A stage with everything a process needs to run it."""

    store: Path
    identity: Identity
    run: str
    inputs: Mapping[str, Path]
    log: Path
    plugins: tuple[str, ...] = ()
    """Modules with parts from outside the checkout, which its settings may name."""


@dataclass(frozen=True)
class Failure:
    """Why a stage failed: one sentence for the user, and whether it is theirs to put right."""

    message: str
    expected: bool


def run_job(job: Job, on_step: Callable[[], None] | None = None) -> Artefact:
    """Run a stage in this process, or find that it is done; returns its artefact."""
    load_plugins(job.plugins)
    store = Store(job.store)
    with store.begin(job.identity) as building:
        if building.artefact:
            return building.artefact
        if not (building.path / "checkpoints").exists():
            building.reset()
        journal = Journal(building.path / "metrics.jsonl", on_step)
        task = Task(building.path, job.identity.settings, job.inputs, journal)
        started = time.perf_counter()
        meta = work(job.run, task)
        return building.commit({"compute_seconds": time.perf_counter() - started, **meta})


def _serve(connection: Connection) -> None:
    _die_with_parent()
    prepare()
    silence()
    importlib.import_module("trl.trainer.rloo_trainer")  # paid for once, before the first stage
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        with job.log.open("a", encoding="utf-8") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        connection.send(attempt(job))


def attempt(job: Job, on_step: Callable[[], None] | None = None) -> Failure | None:
    """Run a stage and turn what goes wrong into a `Failure`; the traceback goes to standard error."""
    try:
        run_job(job, on_step)
    except (UserError, Diverged) as error:
        return Failure(str(error), expected=True)
    except Exception as error:  # the stage's boundary: siblings go on, the log keeps the traceback
        traceback.print_exc()
        if is_full(job.store, error):
            return Failure(no_space(job.store), expected=True)
        return Failure(f"{type(error).__name__}: {error}", expected=False)
    return None


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Worker:
    """A process that runs one stage at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        # Ctrl-C reaches every process of a terminal, and is the parent's to handle: children inherit this.
        resource_tracker.ensure_running()  # whose own start would lift the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.job: Any = None

    def start(self, job: Job, ticket: Any) -> None:
        """Send a stage; `ticket` is given back by `finished`."""
        self.connection.send(job)
        self.job = ticket

    def finished(self) -> tuple[Any, Failure | None] | None:
        """The ticket and failure of a stage that has ended, or None while it runs.

        A worker that was killed (for want of memory, say) counts as a failure of its stage.
        """
        if not self.connection.poll():
            return None
        ticket, self.job = self.job, None
        try:
            return ticket, self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            return ticket, Failure(
                f"its process died (exit code {code}); was there enough memory?", expected=True
            )

    @property
    def alive(self) -> bool:
        """Whether it can take another stage."""
        return self.process.is_alive()

    def stop(self) -> None:
        """End the process at once; its stage's lock is free, its partial work stays for the next attempt."""
        self.process.kill()
        self.process.join()
