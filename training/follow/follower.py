"""Follows a running experiment: each scored point goes into the records, the terminal's view and W&B."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.probes import PROBES
from analysis.probes.points import RUN_COLUMNS, points_of
from analysis.records.experiment import Experiment as Recorded
from training.engine.executor import State, Watcher
from training.engine.stage import Plan, PlannedRun
from training.follow.records import Records
from training.follow.terminal import View
from training.follow.wandb_mirror import Mirror
from training.store.journal import follow

TABLE_ROWS = 8
"""Samples of each point shown in W&B: the first of the evaluation items, the same at every point."""


class Observing(Watcher):
    """Keeps records, view and mirror abreast of what the executor does."""

    def __init__(self, plan: Plan, store: Path, records: Records, view: View, mirror: Mirror) -> None:
        self.plan, self.store, self.records, self.view, self.mirror = plan, store, records, view, mirror
        self.best_of_n = records.folder / "tables" / "best_of_n.csv"
        """Part of the report: an experiment without one has no such curve in W&B."""
        self.state = State()
        self.opened: dict[str, bool] = {}
        """The runs open in W&B, and whether there is anything new to send of them."""
        self.offsets: dict[str, int] = {}

    def tick(self, state: State) -> None:
        self.state = state
        self.mirror.look()
        for run in self.plan.runs:
            if run.train.key in state.running:
                if self._open(run):
                    self._metrics(run, self.store / "partial" / state.names[run.train.key])
            elif run.row["run_id"] in self.opened and all(map(state.settled, run.points.stages)):
                self.records.settled(run, state)
                self._close(run)

    def point(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> None:
        folder = self.records.point(run, samples, scores)
        self.records.add(self.state)
        recorded = Recorded.read(self.records.folder)
        step = int(folder.name)
        rows = points_of(recorded, run.row["run_id"], steps=[step])
        values = rows.loc[rows["step"] == step].iloc[0].to_dict()
        self.view.measurement(run.row["run_id"], _named(values))
        if self._open(run):
            self.mirror.point(run.row["run_id"], step, in_sections(values), _samples(recorded, run, folder))

    def finish(self, state: State) -> None:
        """Send what only a finished experiment has: reused runs and the best-of-n curves."""
        for run in self.plan.runs:
            if run.train.key in state.reused and self._open(run):
                self._metrics(run, state.done[run.train.key].path)
                recorded = Recorded.read(self.records.folder)
                for values in points_of(recorded, run.row["run_id"]).to_dict("records"):
                    self.mirror.point(run.row["run_id"], values["step"], in_sections(values))
            self._close(run)
        if self.plan.pool and self.best_of_n.exists():
            self._best_of_n(" ".join(state.names.get(stage.key, "") for stage in self.plan.pool.stages))

    def _best_of_n(self, artefact: str) -> None:
        """One W&B run per proxy, over the same √KL as the policies'."""
        table = pd.read_csv(self.best_of_n)
        for proxy, curve in table.groupby("proxy"):
            name = f"best_of_n-{proxy}"
            row = {"run_id": name, "method": "best_of_n", "proxy": proxy}
            if self.mirror.open(name, artefact, row, ["best_of_n", str(proxy)], kind="best_of_n"):
                for values in curve.to_dict("records"):
                    self.mirror.point(name, values["n"], in_sections(values))
            self.mirror.close(name)

    def _open(self, run: PlannedRun) -> bool:
        run_id, row = run.row["run_id"], run.row
        if run_id not in self.opened:
            artefact = _made_of(run, self.state)
            if artefact is None:
                return False
            tags = [row["method"], row["control"], row["proxy"]]
            self.opened[run_id] = self.mirror.open(run_id, artefact, row, tags)
        return self.opened[run_id]

    def _close(self, run: PlannedRun) -> None:
        run_id = run.row["run_id"]
        if self.opened.pop(run_id, False):
            self.mirror.close(run_id, failed=run.train.key in self.state.failed)

    def _metrics(self, run: PlannedRun, folder: Path) -> None:
        run_id = run.row["run_id"]
        lines, self.offsets[run_id] = follow(folder / "metrics.jsonl", self.offsets.get(run_id, 0))
        for line in lines:
            values = {name: value for name, value in line.items() if name not in ("step", "total", "time")}
            self.mirror.metrics(run_id, line["step"], values)


def _made_of(run: PlannedRun, state: State) -> str | None:
    """What names a policy with all that values it; None before the latter is there."""
    own = {stage.key for stage in run.points.stages}
    names = [state.names[run.train.key]]
    for stage in run.points.scores:
        others = {name: source.key for name, source in stage.inputs.items() if source.key not in own}
        if not state.done.keys() >= set(others.values()):
            return None
        names.append(stage.identity({name: state.done[key].content for name, key in others.items()}).id)
    return " ".join(names)


MEASURES = {measure for probe in PROBES.values() for measure in probe.measures}
"""What the probes count."""
SCORES = ("proxy", "gold", "oracle", "reward", "win_rate")
NOT_SHOWN = {*RUN_COLUMNS, "step", "n", "seeds", "reliable"}
"""The settings of a run, which W&B has as its config, and what a point is numbered by."""


def in_sections(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of the table of points (or best-of-n) under W&B's names: sections `score`, `kl`, `behaviour`."""
    measured = {name: value for name, value in row.items() if name not in NOT_SHOWN}
    return {f"{_section(name)}/{name}": value for name, value in _named(measured).items()}


def _section(name: str) -> str:
    quantity = re.sub("_(lo|hi|se)$", "", name)
    if quantity in MEASURES:
        return "behaviour"
    if re.match(r"(sqrt_)?kl|k\d", quantity):
        return "kl"
    return "score" if quantity.startswith(SCORES) else "behaviour"


def _named(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of the points table under the names that people see: the run's own proxy is `proxy`."""
    named = {str(name): value for name, value in row.items() if name != "proxy"}
    return {name.replace("proxy_score", "proxy"): value for name, value in named.items()}


def _samples(recorded: Recorded, run: PlannedRun, folder: Path) -> list[dict[str, Any]]:
    """A few samples of a point with their raw scores."""
    proxy = f"proxy/{run.row['proxy']}/{run.row['proxy_seed']}"
    scores = pd.read_parquet(folder / "scores.parquet")
    values = scores.pivot(index=["item_id", "sample_id"], columns="scorer", values="value")
    table = pd.read_parquet(folder / "samples.parquet", columns=["item_id", "sample_id", "completion"])
    table = table.head(TABLE_ROWS).join(values.rename(columns={proxy: "proxy"}), on=["item_id", "sample_id"])
    table["prompt"] = table["item_id"].map(recorded.items.set_index("item_id")["prompt"])
    shown = ["item_id", "prompt", "completion", "proxy", "gold", "oracle"]
    return [
        {str(k): v for k, v in row.items()}
        for row in table[[c for c in shown if c in table]].to_dict("records")
    ]
