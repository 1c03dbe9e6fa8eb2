"""One experiment: plan it, run what the store does not hold, export the records, write the report."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from training.config.hub import pinned
from training.config.remarks import remarks
from training.config.schema import Experiment
from training.engine.explain import explain
from training.engine.plan import plan
from training.engine.stage import Plan, log_name
from training.errors import Interrupted, UserError
from training.follow.folder import lock_of, refuse_another, restore
from training.store.artefacts import Store
from training.store.atomic import disk_errors
from training.store.lock import InUse, locked

if TYPE_CHECKING:
    from training.engine.executor import State
    from training.follow.records import Records

# An experiment of the default size leaves about this much; running out half-way helps nobody.
LEAST_FREE_BYTES = 500 * 2**20
REPORT = "report.html"


class Outcome(NamedTuple):
    """What became of an experiment."""

    status: int
    """The exit status: 0, or 1 if something failed."""
    report: Path | None
    reason: str
    """What failed; empty if nothing did."""


def run(config: Experiment, *, workers: int | None = None, dry_run: bool = False) -> Outcome:
    """Run an experiment.

    Raises:
        UserError: something the user can put right, before any model is loaded.
        Interrupted: by Ctrl-C or a signal; what is finished is kept.
    """
    folder = Path(config.paths.runs) / config.name
    store = Store(Path(config.paths.store or Path(config.paths.runs) / ".store"))
    # Its own handle: what libraries print goes to logs by redirecting sys.stdout while a stage runs here.
    console = Console(highlight=False, file=sys.stdout)
    config = pinned(config, must=not dry_run)
    stages = plan(config)
    for remark in remarks(config):
        console.print(f"note: {remark}", markup=False, soft_wrap=True)
    if dry_run:
        for line in explain(stages, store).text():
            console.print(line, markup=False, soft_wrap=True)
        refuse_another(config, folder)
        return Outcome(0, None, "")
    config.gold.check()
    for place, key in ((store.root, "paths.store"), (folder, "paths.runs")):
        free = shutil.disk_usage(_existing(place)).free
        if free < LEAST_FREE_BYTES:
            raise UserError(
                f"{place} has {free >> 20} MiB free, and an experiment needs {LEAST_FREE_BYTES >> 20} MiB: "
                f"make room, or set {key} to a larger disk"
            )
    with contextlib.ExitStack() as held:
        try:
            with disk_errors(folder):
                held.enter_context(locked(lock_of(folder), wait=False))
        except InUse as error:
            raise UserError(f"{folder} is in use by another overopt run: {error}") from None
        restore(folder)
        refuse_another(config, folder)
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
        return _run(config, stages, store, folder, workers or config.workers, console)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _run(
    config: Experiment, stages: Plan, store: Store, folder: Path, workers: int, console: Console
) -> Outcome:
    from analysis.plugins import module_name
    from training.engine.executor import Executor, State
    from training.follow.follower import Observing
    from training.follow.records import Records
    from training.follow.report import report
    from training.follow.terminal import View
    from training.follow.wandb_mirror import Mirror

    started = time.monotonic()
    records = Records(config, stages, folder, store.root)
    records.begin()
    executor: Executor | None = None
    try:
        with (
            View(stages, store.root, console, config.headline_behaviour) as view,
            Mirror(config.tracking, folder, config.model_dump(mode="json"), say=view.say) as mirror,
        ):
            observing = Observing(stages, store.root, records, view, mirror)
            executor = Executor(stages, store, workers, folder / "logs", [observing, view])
            state = executor.run()
            records.finish(state, "partial" if state.failed else "complete")
            _require_a_point(stages, state, records.folder, folder / "logs")
            if config.report:
                view.say("drawing the report, unless these records have one")
                report(records.folder, store, [module_name(name) for name in config.plugins])
            observing.finish(state)
    except (KeyboardInterrupt, SystemExit) as stop:
        raise _interrupted(stop, records, stages, executor.state if executor else State()) from None
    place = records.publish()
    reused, failed = len(state.reused), len(state.failed)
    run = len(stages.stages) - reused - failed
    console.print(
        f"{run} stages run, {reused} reused, {failed} failed, in {time.monotonic() - started:.0f} s"
    )
    if place != folder:
        console.print(
            f"{folder} keeps its earlier, complete records; those of this run are in {place}", soft_wrap=True
        )
    page = place / REPORT if config.report else None
    if page:
        console.print(f"report: {page}", soft_wrap=True)
    reason = f"{failed} of {len(stages.stages)} stages failed; {_first_failure(stages, state)}"
    return Outcome(1, page, reason) if failed else Outcome(0, page, "")


def _interrupted(stop: BaseException, records: Records, stages: Plan, state: State) -> Interrupted:
    """Complete the records as far as they go; returns what to tell the user."""
    if not all(map(state.settled, stages.stages)):
        records.finish(state, "interrupted")
        records.publish()
    kept = f"{len(state.done)} of {len(stages.stages)} stages are kept"
    status = stop.code if isinstance(stop, SystemExit) and isinstance(stop.code, int) else 130
    return Interrupted(f"interrupted: {kept}; the same command continues", status)


def _require_a_point(stages: Plan, state: State, records: Path, logs: Path) -> None:
    """What failed costs the report only what needed it, unless that is everything."""
    from analysis.records.experiment import Experiment as Recorded

    if not state.failed or Recorded.read(records).scored:
        return
    broken = next(stage for stage in stages.stages if stage.key in state.failed)
    where = "" if state.failed[broken.key].expected else f" (see {logs / log_name(broken)})"
    raise UserError(_first_failure(stages, state) + where)


def _first_failure(stages: Plan, state: State) -> str:
    failed = (stage for stage in stages.stages if stage.key in state.failed)
    return next((f"{stage.title} failed: {state.failed[stage.key].message}" for stage in failed), "")
