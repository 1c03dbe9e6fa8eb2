"""What the terminal shows while an experiment runs: a table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from training.engine.executor import State, Watcher
from training.engine.stage import Plan, Stage
from training.store.journal import follow


def clock(seconds: float) -> str:
    """m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class View(Watcher):
    """Follows the journals of running stages and the scored points."""

    def __init__(self, plan: Plan, store: Path, console: Console, behaviour: str) -> None:
        self.plan, self.store, self.console = plan, store, console
        self.behaviour = behaviour
        """The headline behaviour, shown beside the scores."""
        self.started = time.time()
        self.said: set[str] = set()
        self.progress: dict[str, dict[str, Any]] = {}
        self.offsets: dict[str, int] = {}
        self.measured: dict[str, Mapping[str, Any]] = {}
        self.live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> View:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(Text(line), soft_wrap=True)

    def measurement(self, run_id: str, values: Mapping[str, Any]) -> None:
        """The latest point of a run: step, kl, and scores in s.d. of π_ref."""
        self.measured[run_id] = values

    def tick(self, state: State) -> None:
        for key in state.running:
            path = self.store / "partial" / state.names[key] / "metrics.jsonl"
            lines, self.offsets[key] = follow(path, self.offsets.get(key, 0))
            if lines:
                self.progress[key] = lines[-1]
        self._announce(state)
        if self.live:
            self.live.update(self._table(state), refresh=True)

    def _announce(self, state: State) -> None:
        """One line as each stage starts (plain output only), ends or fails."""
        for stage in self.plan.stages:
            if stage.key in state.running and not self.live:
                self._once(f"start {stage.key}", f"{self._now()}  … {stage.words}")
            if stage.key in state.failed:
                if any(source.key in state.failed for source in stage.inputs.values()):
                    continue  # it could not even begin: the line of the one that did fail says it all
                self._once(stage.key, f"{self._now()}  ✗ {stage.words}: {state.failed[stage.key].message}")
            elif stage.key in state.done and stage.key not in state.reused:
                seconds = state.done[stage.key].meta.get("compute_seconds")
                took = f" ({seconds:.1f} s)" if seconds is not None else ""
                self._once(stage.key, f"{self._now()}  ✓ {stage.words}{took}{self._result(stage)}")

    def _result(self, stage: Stage) -> str:
        last = self.measured.get(stage.label) if stage.kind == "policy" else None
        return f": {self._numbers(last)}" if last else ""

    def _once(self, key: str, line: str) -> None:
        if key not in self.said:
            self.said.add(key)
            self.say(line)

    def _now(self) -> str:
        return clock(time.time() - self.started)

    def _table(self, state: State) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
        for column in ("stage", "step", "left", "latest"):
            table.add_column(column, no_wrap=column != "latest")
        for stage in self.plan.stages:
            if stage.key in state.running:
                table.add_row(*self._row(stage, state.running[stage.key]))
        settled = sum(state.settled(s) for s in self.plan.stages)
        head = f"{self._now()}  {settled} of {len(self.plan.stages)} stages done"
        return Group(Text(head, style="bold"), table)

    def _row(self, stage: Stage, began: float) -> tuple[str, str, str, str]:
        line = self.progress.get(stage.key, {})
        step, total = line.get("step"), line.get("total")
        left = ""
        if step and total and step < total:
            left = clock((time.time() - began) / step * (total - step))
        latest = dict(self.measured.get(stage.label, {}))
        if stage.kind == "policy":
            latest |= {"kl": line.get("kl_sequence", latest.get("kl"))}
        elif "loss" in line:
            latest = {"loss": line["loss"]}
        return stage.words, f"{step}/{total}" if step else "", left, self._numbers(latest)

    def _numbers(self, values: Mapping[str, Any]) -> str:
        shown = ("kl", "proxy", "gold", "oracle", self.behaviour, "loss")
        names = {"kl": "KL"}
        parts = [f"{names.get(k, k)} {values[k]:.2f}" for k in shown if _is_number(values.get(k))]
        return "  ".join(parts)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
