"""The mirror's own process: follows the outboxes of an experiment's runs and tells W&B what they say.

Started by `training.follow.wandb_mirror.Mirror`, which names on standard input the runs to follow, one id a
line, and reads the exit status. The end of the input is the end of the experiment.

Line n of an outbox that holds numbers is step n of the W&B run. On resuming, W&B says where it stands, so
nothing is sent twice; offline, a run that goes on is written anew, as `wandb sync` sends it from step 0.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from training.store.atomic import read_json, write_bytes, write_json
from training.store.journal import follow

log = logging.getLogger("overopt.mirror")

COMPLETE, INCOMPLETE, OUT_OF_TIME, UNREACHABLE = 0, 3, 4, 5
"""Exit status of the process."""

STEP, SQRT_KL, KL, GOLD = "train/step", "kl/sqrt_kl", "kl/kl", "score/gold"
CHART = ("score/proxy", GOLD, "score/oracle")
HIDDEN = ("_lo", "_hi", "_se")
"""Ends of what is sent but gets no chart of its own."""
POLL_SECONDS = 0.5
UNANSWERED = "unanswered"


class Session:
    """What the runs of one experiment share: where W&B's files are, and what was already sent."""

    def __init__(self, folder: Path, mode: str, init_seconds: float, finish_seconds: float) -> None:
        """`mode` is online, offline, or `UNANSWERED`: offline because no server answered."""
        # Tables wait here for `wandb sync`; wandb's own choice is the home directory.
        os.environ.setdefault("WANDB_DATA_DIR", str(folder / "data"))
        import wandb

        self.wandb, self.folder = wandb, folder
        self.mode: Literal["online", "offline"] = "online" if mode == "online" else "offline"
        self.unanswered = mode == UNANSWERED
        self.settings = wandb.Settings(
            init_timeout=init_seconds,
            finish_timeout=finish_seconds / 2,
            finish_timeout_raises=True,
            console="off",
            silent=True,
            save_code=False,
            disable_git=True,
        )
        self.ledger = folder / "sent.json"
        self.sent: dict[str, Any] = read_json(self.ledger) if self.ledger.exists() else {}
        """By id of a W&B run: how many bytes of its outbox have arrived, and in which mode."""
        self.failures = 0

    @contextlib.contextmanager
    def survive(self, doing: str) -> Iterator[None]:
        """Nothing that W&B does ends this process."""
        try:
            yield
        except Exception:
            self.failures += 1
            if self.failures <= 20:  # a dead service fails every call
                log.exception("%.80s", doing)

    def folders(self, run_id: str) -> list[Path]:
        """The offline folders of a W&B run."""
        return list(self.folder.glob(f"offline-run-*-{run_id}"))

    def arrived(self, run_id: str) -> int:
        """How many bytes of its outbox need not be sent again."""
        entry = self.sent.get(run_id, {"bytes": 0, "mode": self.mode})
        synced = any(next(folder.glob("*.wandb.synced"), None) for folder in self.folders(run_id))
        return int(entry["bytes"]) if synced or entry["mode"] in (self.mode, "online") else 0

    def confirm(self, run_id: str, size: int) -> None:
        """Note what has arrived; a run that is online needs no offline folder any more."""
        self.sent[run_id] = {"bytes": size, "mode": self.mode}
        write_json(self.ledger, self.sent)
        if self.mode == "online":
            for folder in self.folders(run_id):
                shutil.rmtree(folder)

    def init(self, run_id: str, arguments: Mapping[str, Any]) -> Any:
        """Start or resume a W&B run. Raises `Unanswered` if the server does not answer."""
        if self.mode == "offline":
            for folder in self.folders(run_id):
                shutil.rmtree(folder)
        try:
            run = self.wandb.init(
                **arguments,
                id=run_id,
                resume="allow" if self.mode == "online" else None,
                mode=self.mode,
                dir=str(self.folder.parent),
                settings=self.settings,
                reinit="create_new",
            )
        except Exception as error:
            if self.mode == "offline":
                raise
            raise Unanswered(repr(error)) from error
        if self.mode == "online":
            write_bytes(self.folder / "address.txt", str(run.project_url).encode())
        return run


class Unanswered(BaseException):
    """The server let no run begin: nothing that `Session.survive` should hide."""


class Run:
    """One W&B run, told what its outbox says. It begins with the first line that has not arrived."""

    def __init__(self, session: Session, run_id: str) -> None:
        self.session, self.id = session, run_id
        self.path = session.folder / "outbox" / f"{run_id}.jsonl"
        self.run: Any = None
        self.dead = False
        self.arrived = session.arrived(run_id)
        self.failures = 0

    def advance(self) -> None:
        """Send what is new."""
        if self.dead or (self.run is None and self.path.stat().st_size <= self.arrived):
            return
        if self.run is None:
            self.offset = self.step = 0
            self.points: list[Mapping[str, Any]] = []
            self.defined: set[str] = set()
            self.failures = self.session.failures
        charted = len(self.points)
        lines, self.offset = follow(self.path, self.offset)
        for line in lines:
            call = line.pop("call")
            if call == "close" and line is not lines[-1]:
                continue  # a failed attempt that a later one continued
            if call == "close" and len(self.points) > charted:
                self.chart()
            with self.session.survive(f"{call} of {self.id}"):
                getattr(self, call)(**line)
            if self.dead:
                return
        if self.run and len(self.points) > charted:
            self.chart()

    def open(self, budget: float | None, init: Mapping[str, Any]) -> None:
        """Begin; √KL, not the step, is the axis of the points."""
        self.budget = budget
        self.dead = True  # unless this succeeds
        self.run = self.session.init(self.id, init)
        self.dead = False
        self.run.define_metric(STEP)
        self.run.define_metric(SQRT_KL)
        self.run.define_metric("train/*", step_metric=STEP)
        self.defined |= {STEP, SQRT_KL}

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Trainer curves."""
        self.log({STEP: step} | {f"train/{name}": value for name, value in values.items()})

    def point(self, step: int, values: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """One point of the Goodhart curves, and a few samples."""
        row = _numbers(values)
        self.points.append({STEP: step, **row})
        # Exact names: a glob would compete with the catch-all that other integrations define.
        for name in sorted(row.keys() - self.defined):
            self.run.define_metric(name, step_metric=SQRT_KL, hidden=name.endswith(HIDDEN) or None)
            self.defined.add(name)
        self.log({STEP: step, **row})
        if samples:
            self.add({"behaviour/samples": self.table(samples)})

    def close(self, failed: bool) -> None:
        """End; only what W&B has then confirmed counts as sent."""
        run, self.run = self.run, None
        self.arrived = self.offset
        run.finish(exit_code=int(failed))
        if self.failures == self.session.failures:
            self.session.confirm(self.id, self.offset)

    def chart(self) -> None:
        """Proxy, gold and oracle over √KL in one chart, and what the table of runs can be sorted by."""
        self.points.sort(key=lambda point: point[STEP])  # those of a resumed run may come late
        measured = {key: [p for p in self.points if {key, SQRT_KL} <= p.keys()] for key in CHART}
        keys = [key for key in CHART if measured[key]]
        xs = [[p[SQRT_KL] for p in measured[key]] for key in keys]
        ys = [[p[key] for p in measured[key]] for key in keys]
        names = [key.partition("/")[2] for key in keys]
        with self.session.survive(f"chart of {self.id}"):
            chart = self.session.wandb.plot.line_series(xs, ys, names, "scores", "√KL", split_table=True)
            self.add({"score/curves": chart})
            self.run.summary.update(self.summary(measured[GOLD]))

    def summary(self, measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Where gold is highest, and how much of its budget the run spent."""
        peak = max(measured, key=lambda point: point[GOLD], default={})
        found = {f"peak/{key.partition('/')[2]}": peak[key] for key in (GOLD, KL, STEP) if key in peak}
        if self.budget and KL in self.points[-1]:
            found["budget/ratio"] = self.points[-1][KL] / self.budget
        return found

    def log(self, row: Mapping[str, Any]) -> None:
        """The next step of the run, unless W&B has it."""
        step, self.step = self.step, self.step + 1
        if step >= self.run.starting_step:
            self.run.log(_numbers(row), step=step)

    def add(self, media: dict[str, Any]) -> None:
        """Add to the step just logged. Apart from its numbers: online, a table's requests can fail."""
        if self.step > self.run.starting_step:
            self.run.log(media, step=self.step - 1)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """A W&B table; the first row names the columns."""
        columns = list(rows[0])
        return self.session.wandb.Table(columns, [[row.get(column) for column in columns] for row in rows])


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Finite numbers only: a missing measurement is a gap in the curve, not a value."""
    numbers = ((name, value) for name, value in values.items() if isinstance(value, int | float))
    return {name: value for name, value in numbers if math.isfinite(value)}


def serve(session: Session, names: int, runs: dict[str, Run], finish_seconds: float) -> int:
    """Follow `runs` and those named on a descriptor until it ends, whatever W&B does; the exit status."""
    rest, ended = b"", False
    while not ended:
        if select.select([names], [], [], POLL_SECONDS)[0]:
            data = os.read(names, 4096)
            *whole, rest = (rest + data).split(b"\n")
            runs |= {name: Run(session, name) for name in map(bytes.decode, whole) if name not in runs}
            ended = not data
        if ended:
            out_of_time = threading.Timer(finish_seconds, os._exit, (OUT_OF_TIME,))
            out_of_time.daemon = True
            out_of_time.start()
        for run in runs.values():
            with session.survive(f"following {run.id}"):
                run.advance()
    for run in runs.values():
        if run.run:  # not closed by the experiment: it was interrupted
            with session.survive(f"finishing {run.id}"):
                run.run.finish(exit_code=1)
    if session.failures:
        return INCOMPLETE
    return UNREACHABLE if session.unanswered else COMPLETE


def main() -> None:
    """Entry point of the process."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    folder, mode, init_seconds, finish_seconds, *known = sys.argv[1:]
    # Nobody below may read what is meant for us, least of all a login prompt.
    names = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Set by a W&B sweep agent for one run, here there are several; or by whoever has a service of its own.
    for name in ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SERVICE"):
        os.environ.pop(name, None)
    status = INCOMPLETE
    runs: dict[str, Run] = {}
    try:
        session = Session(Path(folder), mode, float(init_seconds), float(finish_seconds))
        runs |= {name: Run(session, name) for name in known}
        status = serve(session, names, runs, float(finish_seconds))
    except Unanswered as error:
        log.warning("going on offline, `wandb sync` can send it later: %s", error)
        # From the start, in this process's place: wandb would not give the ids of these runs out again.
        os.dup2(names, 0)
        module = [sys.executable, "-m", "training.follow.wandb_process"]
        os.execv(sys.executable, [*module, folder, UNANSWERED, init_seconds, finish_seconds, *runs])
    except Exception:
        log.exception("the mirror ended")
    # Not sys.exit: wandb's exit hooks wait for a service that may be dead.
    os._exit(status)


if __name__ == "__main__":
    main()
