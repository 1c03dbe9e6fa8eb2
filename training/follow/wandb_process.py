"""The mirror's own process: reads messages from its standard input, one JSON line each, and talks to W&B.

Started by `training.follow.wandb_mirror.Mirror`, which reads the exit status.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Literal

log = logging.getLogger("overopt.mirror")

COMPLETE, INCOMPLETE, OUT_OF_TIME, UNREACHABLE = 0, 3, 4, 5
"""Exit status of the process."""

STEP, DISTANCE = "overopt/step", "overopt/sqrt_kl"


class Runs:
    """The W&B runs of one experiment, all open at once in this process."""

    def __init__(
        self,
        *,
        directory: str,
        group: str,
        mode: Literal["online", "offline"],
        project: str,
        entity: str | None,
        tags: Sequence[str],
        config: Mapping[str, Any],
        init_seconds: float,
        finish_seconds: float,
    ) -> None:
        # Tables wait here for `wandb sync`; wandb's own choice is the home directory.
        os.environ.setdefault("WANDB_DATA_DIR", os.path.join(directory, "wandb", "data"))
        import wandb

        self.wandb = wandb
        self.directory, self.group, self.mode = directory, group, mode
        self.project, self.entity, self.tags, self.config = project, entity, tags, config
        self.settings = wandb.Settings(
            init_timeout=init_seconds,
            finish_timeout=finish_seconds / 2,
            finish_timeout_raises=True,
            console="off",
            silent=True,
            save_code=False,
            disable_git=True,
        )
        self.fell_back = False
        self.runs: dict[str, Any] = {}
        self.defined: dict[str, set[str]] = {}

    def open(self, run_id: str, row: Mapping[str, Any], tags: Sequence[str]) -> None:
        """A policy's run; KL, not the step, is the axis of its points."""
        run = self.init(run_id, "policy", tags, {"run": row})
        run.define_metric(STEP)
        run.define_metric(DISTANCE)
        run.define_metric("train/*", step_metric=STEP)
        self.runs[run_id], self.defined[run_id] = run, {STEP, DISTANCE}

    def metrics(self, run_id: str, step: int, values: Mapping[str, Any]) -> None:
        """Trainer curves."""
        row = {f"train/{name}": value for name, value in values.items()}
        self.runs[run_id].log(_numbers({STEP: step} | row))

    def point(self, run_id: str, values: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """The Goodhart curves and a few samples."""
        run = self.runs[run_id]
        row = _numbers({f"overopt/{name}": value for name, value in values.items()})
        row[DISTANCE] = math.sqrt(max(0.0, row["overopt/kl"]))
        # Exact names: a glob would compete with the catch-all that other integrations define.
        for name in sorted(row.keys() - self.defined[run_id]):
            run.define_metric(name, step_metric=DISTANCE)
            self.defined[run_id].add(name)
        run.log(row)
        # Apart from the numbers: online, a table needs requests that can fail.
        if samples:
            run.log({"overopt/samples": self.table(samples)})

    def curve(self, name: str, kind: str, columns: Mapping[str, Sequence[float]]) -> None:
        """A curve that is complete from the start, such as best-of-n."""
        run = self.init(name, kind, (), {})
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        x, *lines = columns
        measured = {line: [row for row in rows if _numbers({line: row[line]})] for line in lines}
        xs = [[row[x] for row in measured[line]] for line in lines]
        ys = [[row[line] for row in measured[line]] for line in lines]
        chart = self.wandb.plot.line_series(xs, ys, keys=lines, title=name, xname=x)
        run.log({f"overopt/{kind}": self.table(rows), f"overopt/{kind}_curve": chart})
        run.finish()

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """A W&B table; the first row names the columns."""
        columns: list[str | int] = list(rows[0])
        data: list[Iterable[Any]] = [[row.get(str(column)) for column in columns] for row in rows]
        return self.wandb.Table(columns=columns, data=data)

    def close(self, run_id: str, failed: bool) -> None:
        """End a policy's run."""
        self.runs.pop(run_id).finish(exit_code=int(failed))

    def init(self, name: str, job_type: str, tags: Sequence[str], config: Mapping[str, Any]) -> Any:
        """Start a W&B run; if the server does not answer, this and all later ones are kept offline."""
        arguments: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "dir": self.directory,
            "group": self.group,
            "job_type": job_type,
            "name": name,
            "tags": [*self.tags, *tags],
            "config": {"overopt": {**self.config, **config}},
            "reinit": "create_new",
            "settings": self.settings,
        }
        try:
            return self.wandb.init(mode=self.mode, **arguments)
        except Exception as error:
            if self.mode == "offline":
                raise
            log.warning("going on offline, `wandb sync` can send it later: %r", error)
            self.mode, self.fell_back = "offline", True
            return self.wandb.init(mode=self.mode, **arguments)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Finite numbers only: a missing measurement is a gap in the curve, not a value."""
    numbers = ((name, value) for name, value in values.items() if isinstance(value, int | float))
    return {name: value for name, value in numbers if math.isfinite(value)}


def serve(messages: BinaryIO) -> int:
    """Obey messages until the stream ends, whatever W&B does; the exit status."""
    runs: Runs | None = None
    failures = 0
    for line in messages:
        try:
            call, arguments = json.loads(line)
            if call == "start":
                finish_seconds = arguments["finish_seconds"]
                runs = Runs(**arguments)
            else:
                getattr(runs, call)(**arguments)
        except Exception:
            failures += 1
            if failures <= 20:  # a dead service fails every call
                log.exception("message %.80r", line)
    if runs is None:
        return INCOMPLETE
    out_of_time = threading.Timer(finish_seconds, os._exit, (OUT_OF_TIME,))
    out_of_time.daemon = True
    out_of_time.start()
    for run_id in list(runs.runs):  # not closed by the caller: the experiment was interrupted
        try:
            runs.close(run_id, failed=True)
        except Exception:
            failures += 1
            log.exception("finishing %s", run_id)
    if failures:
        return INCOMPLETE
    return UNREACHABLE if runs.fell_back else COMPLETE


def main() -> None:
    """Entry point of the process."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    # Nobody below may read our messages, least of all a login prompt.
    messages = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Set by a W&B sweep agent for one run; here there are several.
    for name in ("WANDB_RUN_ID", "WANDB_RESUME"):
        os.environ.pop(name, None)
    status = serve(messages)
    # Not sys.exit: wandb's exit hooks wait for a service that may be dead.
    os._exit(status)


if __name__ == "__main__":
    main()
