"""One experiment: plan it, run what the store does not hold, export the records, write the report."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from training.config.hub import pinned
from training.config.remarks import remarks
from training.config.schema import Experiment
from training.engine.explain import explain
from training.engine.plan import plan
from training.engine.stage import Plan, log_name
from training.errors import UserError
from training.store.artefacts import Store
from training.store.atomic import disk_errors
from training.store.lock import InUse, locked

if TYPE_CHECKING:
    from training.engine.executor import State

# An experiment of the default size leaves about this much; running out half-way helps nobody.
LEAST_FREE_BYTES = 500 * 2**20


def run(config: Experiment, *, workers: int | None = None, dry_run: bool = False) -> int:
    """Run an experiment; returns the exit status (0, or 1 if a run failed).

    Raises:
        UserError: something the user can put right, before any model is loaded.
    """
    folder = Path(config.paths.runs) / config.name
    store = Store(Path(config.paths.store or Path(config.paths.runs) / ".store"))
    # Its own handle: what libraries print goes to logs by redirecting sys.stdout while a stage runs here.
    console = Console(highlight=False, file=sys.stdout)
    config = pinned(config, must=not dry_run)
    config.gold.check()
    stages = plan(config)
    for remark in remarks(config):
        console.print(f"note: {remark}", markup=False, soft_wrap=True)
    if dry_run:
        for line in explain(stages, store).text():
            console.print(line, markup=False, soft_wrap=True)
        return 0
    for place, key in ((store.root, "paths.store"), (folder, "paths.runs")):
        free = shutil.disk_usage(_existing(place)).free
        if free < LEAST_FREE_BYTES:
            raise UserError(
                f"{place} has {free >> 20} MiB free, and an experiment needs {LEAST_FREE_BYTES >> 20} MiB: "
                f"make room, or set {key} to a larger disk"
            )
    _refuse_foreign(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(Path(config.paths.runs) / f".{config.name}.lock", wait=False):
            return _run(config, stages, store, folder, workers or config.workers, console)
    except InUse as error:
        raise UserError(f"{folder} is in use by another overopt run: {error}") from None


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _refuse_foreign(folder: Path) -> None:
    """A new run clears its folder of the old one's records: it must never be a folder of anything else."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose another name or paths.runs")
    own = (folder / "experiment.json").exists() or not folder.is_dir()
    if not own and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(
            f"{folder} is not empty and holds no experiment (no experiment.json): its files would be "
            "replaced; choose another name or paths.runs"
        )


def _run(config: Experiment, stages: Plan, store: Store, folder: Path, workers: int, console: Console) -> int:
    from analysis.plugins import module_name
    from training.engine.executor import Executor
    from training.follow.follower import Observing
    from training.follow.records import Records
    from training.follow.report import report
    from training.follow.terminal import View
    from training.follow.wandb_mirror import Mirror

    started = time.monotonic()
    records = Records(config, stages, folder, store.root)
    records.begin()
    with (
        View(stages, store.root, console, config.headline_behaviour) as view,
        Mirror(config.tracking, folder, config.model_dump(mode="json"), say=view.say) as mirror,
    ):
        observing = Observing(stages, store.root, records, view, mirror)
        state = Executor(stages, store, workers, folder / "logs", [observing, view]).run()
        records.finish(state, time.monotonic() - started)
        _require_something(stages, state, folder)
        page = None
        if config.report:
            view.say("drawing the report, unless these records have one")
            page, _ = report(folder, store, [module_name(name) for name in config.plugins])
        observing.finish(state)
    reused, failed = len(state.reused), len(state.failed)
    run = len(stages.stages) - reused - failed
    console.print(
        f"{run} stages run, {reused} reused, {failed} failed, in {time.monotonic() - started:.0f} s"
    )
    if page:
        console.print(f"report: {page}", soft_wrap=True)
    return 1 if failed else 0


def _require_something(stages: Plan, state: State, folder: Path) -> None:
    """With some policies or the audit failed the rest is reported; with what all share failed, nothing is."""
    spared = {stage.key for run in stages.runs for stage in run.stages}
    spared |= {stage.key for stage in stages.audits}
    broken = [stage for stage in stages.stages if stage.key in state.failed and stage.key not in spared]
    if broken:
        failure, log = state.failed[broken[0].key], folder / "logs" / log_name(broken[0])
        raise UserError(
            f"{broken[0].title} failed: {failure.message}" + ("" if failure.expected else f" (see {log})")
        )
