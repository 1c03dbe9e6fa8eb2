"""Follows a running experiment: each scored point goes into the records, the terminal's view and W&B."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.experiment import Experiment as Recorded
from analysis.tables.tables import points_of
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
        self.state = State()
        self.opened: set[str] = set()
        self.offsets: dict[str, int] = {}

    def tick(self, state: State) -> None:
        self.state = state
        for run in self.plan.runs:
            if run.train.key in state.running:
                self._open(run)
                self._metrics(run, self.store / "partial" / state.names[run.train.key])
            elif run.row["run_id"] in self.opened and all(map(state.settled, run.points.stages)):
                self.records.settled(run, state)
                self._close(run)

    def point(self, run: PlannedRun, samples: Path, scores: Sequence[Path]) -> None:
        folder = self.records.point(run, samples, scores)
        self._open(run)
        self.records.add(self.state)
        recorded = Recorded.read(self.records.folder)
        step = int(folder.name)
        rows = points_of(recorded, run.row["run_id"], steps=[step])
        values = _named(rows.loc[rows["step"] == step].iloc[0].to_dict())
        self.view.measurement(run.row["run_id"], values)
        self.mirror.point(run.row["run_id"], values, _samples(recorded, run, folder))

    def finish(self, state: State) -> None:
        """Send what only a finished experiment has: reused runs and the best-of-n curves."""
        for run in self.plan.runs:
            if run.train.key in state.reused:
                self._open(run)
                self._metrics(run, state.done[run.train.key].path)
                recorded = Recorded.read(self.records.folder)
                for values in points_of(recorded, run.row["run_id"]).to_dict("records"):
                    self.mirror.point(run.row["run_id"], _named(values))
            self._close(run)
        table = self.records.folder / "tables" / "best_of_n.csv"
        valued = self.plan.pool and self.plan.pool.samples.key in state.done
        for proxy, curve in pd.read_csv(table).groupby("proxy") if valued else ():
            columns = {
                k: curve[k].tolist()
                for k in ("sqrt_kl", "kl", "n", "proxy_score", "gold", "oracle")
                if k in curve
            }
            self.mirror.curve(f"best_of_n-{proxy}", columns)

    def _open(self, run: PlannedRun) -> None:
        run_id = run.row["run_id"]
        if run_id not in self.opened:
            self.opened.add(run_id)
            self.mirror.open(run_id, run.row, [run.row["method"], run.row["control"], run.row["proxy"]])

    def _close(self, run: PlannedRun) -> None:
        run_id = run.row["run_id"]
        if run_id in self.opened:
            self.opened.remove(run_id)
            self.mirror.close(run_id, failed=run.train.key in self.state.failed)

    def _metrics(self, run: PlannedRun, folder: Path) -> None:
        run_id = run.row["run_id"]
        lines, self.offsets[run_id] = follow(folder / "metrics.jsonl", self.offsets.get(run_id, 0))
        for line in lines:
            self.mirror.metrics(run_id, line.pop("step"), line)


def _named(values: dict[Any, Any]) -> dict[str, Any]:
    """A row of the points table under the names that W&B and the terminal show."""
    return {str("proxy" if k == "proxy_score" else k): v for k, v in values.items() if k != "proxy"}


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
