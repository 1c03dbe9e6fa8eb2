"""Several experiments, one after another: one that fails costs the others nothing."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from analysis.records.contracts import RecordError
from training.config.schema import Experiment
from training.errors import Diverged, Interrupted, UserError
from training.run import Outcome


def in_turn(experiments: Sequence[Experiment]) -> Iterator[Experiment]:
    """Each of them, under a line that says which it is where there are several."""
    for number, experiment in enumerate(experiments, start=1):
        if len(experiments) > 1:
            print(f"[{number}/{len(experiments)}] {experiment.name}", flush=True)
        yield experiment


def sweep(experiments: Sequence[Experiment], run: Callable[[Experiment], Outcome]) -> int:
    """Run them all and print what became of each; returns 1 if any failed.

    Raises:
        Interrupted, KeyboardInterrupt, SystemExit: at once; the table says how far it came.
    """
    rows = [(experiment.name, "not begun", "", "") for experiment in experiments]
    try:
        for place, experiment in enumerate(in_turn(experiments)):
            rows[place] = (experiment.name, "interrupted", "", "")
            outcome = _outcome(experiment, run)
            status = "failed" if outcome.status else "done"
            rows[place] = (experiment.name, status, str(outcome.report or ""), outcome.reason)
    finally:
        _show(rows)
    return max(status != "done" for _, status, *_ in rows)


def _outcome(experiment: Experiment, run: Callable[[Experiment], Outcome]) -> Outcome:
    try:
        return run(experiment)
    except (Diverged, UserError, RecordError) as error:
        reason = str(error)
    except Interrupted:
        raise
    except Exception as error:  # a bug: said in full, and the next experiment may not meet it
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    print(f"{experiment.name}: {reason}", file=sys.stderr)
    return Outcome(1, None, reason)


def _show(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns: experiment, status, report, reason."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (" ".join(cell.split()).ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
