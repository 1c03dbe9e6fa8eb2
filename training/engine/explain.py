"""What a run would do, in words: which stages, why, and how long it takes. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from training.engine.resolve import identity_of
from training.engine.stage import Plan, Stage
from training.store.artefacts import Artefact, Store
from training.store.identity import Identity


@dataclass(frozen=True)
class Line:
    """One stage in a dry run."""

    stage: Stage
    runs: bool
    reason: str
    """Why it runs; empty for what is reused, and for what only follows from another that runs."""
    seconds: float | None
    """What it is likely to take; None where nothing of its kind was ever run."""


@dataclass(frozen=True)
class DryRun:
    """All stages of a plan."""

    lines: Sequence[Line]

    def text(self) -> Iterator[str]:
        """A line per stage, then a summary."""
        for line in self.lines:
            took = "" if line.seconds is None or not line.runs else f"  about {_duration(line.seconds)}"
            why = f"  [{line.reason}]" if line.reason else ""
            verb = "reuse" if not line.runs else "run  " if line.reason else "then "
            yield f"{verb}  {line.stage.words}{took}{why}"
        running = [line for line in self.lines if line.runs]
        at_most = "at most " if any(not line.reason for line in running) else ""
        summary = f"{at_most}{len(running)} of {len(self.lines)} stages would run"
        known = [line.seconds for line in running if line.seconds is not None]
        if known:
            summary += f": about {_duration(sum(known))} of computing on this machine"
            if len(known) < len(running):
                summary += f", without {len(running) - len(known)} whose time is not known"
        yield summary


def explain(plan: Plan, store: Store) -> DryRun:
    """Look every stage up. Only first causes have a reason. What stands behind one follows from it: should
    the cause leave the same bytes as before, the rest is reused after all."""
    history = store.manifests()
    done: dict[str, Artefact] = {}
    lines = []
    for stage in plan.stages:
        identity = identity_of(stage, done)
        if identity and (found := store.peek(identity)):
            done[stage.key] = found
            lines.append(Line(stage, False, "", None))
            continue
        reason = _reason(identity, store, history) if identity else ""
        lines.append(Line(stage, True, reason, _seconds(stage, history)))
    return DryRun(lines)


def _reason(identity: Identity, store: Store, history: Sequence[Mapping[str, Any]]) -> str:
    state = store.state(identity)
    if state != "missing":
        return state
    alike = (m for m in history if (m["identity"]["stage"], m["label"]) == (identity.stage, identity.label))
    previous = next(alike, None)
    return identity.changes_since(previous["identity"]) if previous else "never run"


def _seconds(stage: Stage, history: Sequence[Mapping[str, Any]]) -> float | None:
    """What the same stage took last, else the median of its kind."""
    alike = [m for m in history if m["identity"]["stage"] == stage.kind and "compute_seconds" in m["meta"]]
    same = [m for m in alike if m["label"] == stage.label]
    times = [float(m["meta"]["compute_seconds"]) for m in same[:1] or alike]
    return median(times) if times else None


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
