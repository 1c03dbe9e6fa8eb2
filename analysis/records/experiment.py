"""The records of an experiment, read back: the experiment, its runs, their points.

What is *absent* stays visible. A run that failed, a point that was never scored: these are gaps. They remain
in the list of runs, read as missing, are named by `Experiment.gaps()`, and are never filled in. What is
*wrong* (a damaged file, an id that matches nothing) raises `RecordError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.records.contracts import BETWEEN, SCHEMA, RecordError, read_json, read_table, write_table
from analysis.records.point import Interpolated, Point
from analysis.records.way import POOL, Way, grouped

__all__ = ["SCHEMA", "Experiment", "Point", "RecordError", "Run", "read_json", "read_table", "write_table"]


_UNFINISHED = {
    "running": "it is not finished: it still runs, or was killed",
    "interrupted": "it was interrupted before its end",
}

_TOP_KEYS = ("schema", "experiment", "world", "has_oracle", "status", "seed", "runs", "pool")
_RUN_KEYS = ("run_id", "method", "control", "budget", "proxy", "proxy_pairs", "proxy_seed", "seed", "status")


@dataclass(frozen=True)
class Run:
    """One planned policy, whether or not it came to an end."""

    path: Path
    run_id: str
    method: str
    control: str
    budget: float | None
    """The KL this run may spend, in nats; None where the control sets none."""
    proxy: str
    """Name of the proxy group; its replicate `proxy_seed` is what the policy was optimised against."""
    proxy_pairs: int
    proxy_seed: int
    seed: int
    status: str
    error: str | None
    group: str | None = None
    """The entry of the config's `runs` that it belongs to; None in records that do not say."""
    between_error: str | None = None
    """Why the policies between its checkpoints could not be measured."""
    mitigation: str | None = None
    """What was changed to resist overoptimisation."""

    @property
    def way(self) -> Way:
        """How it spent its KL. A mitigation makes a group of runs another way; groups without one are
        pooled."""
        return Way(self.method, self.group if self.mitigation else None, self.mitigation)

    def settings(self, *names: str) -> dict[str, Any]:
        """Fields of the run as columns of a table, its method by the label of its way."""
        return {name: str(self.way) if name == "method" else getattr(self, name) for name in names}

    @property
    def scorer(self) -> str:
        """The scorer id, in the scores tables, of the proxy that this run was optimised against."""
        return f"proxy/{self.proxy}/{self.proxy_seed}"

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every point that the manifest lists or that lies on disk, by step; some may be gaps."""
        steps = {int(p.name) for p in (self.path / "points").glob("[0-9]*") if p.is_dir()}
        if (self.path / "manifest.json").exists():
            steps |= {int(step) for step in read_json(self.path / "manifest.json").get("points", [])}
        return tuple(Point(self.path / "points" / f"{step:06d}", step) for step in sorted(steps))

    @cached_property
    def between(self) -> tuple[Interpolated, ...]:
        """The policies between its checkpoints, by KL; none where its weights were not kept."""
        folder = self.path / "between"
        if not (folder / BETWEEN).exists():
            return ()
        rows = read_json(folder / BETWEEN, ("points",))["points"]
        return tuple(
            Interpolated(
                Point(folder / "points" / f"{row['point']:06d}", row["point"]),
                row["kl"], row["alpha"], row["step_a"], row["step_b"],
            )
            for row in rows
        )  # fmt: skip

    def metrics(self) -> pd.DataFrame:
        """The trainer's curves, a row per line of metrics.jsonl; a last line that a crash cut is dropped."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return pd.DataFrame({"step": pd.Series(dtype=int)})
        *lines, torn = path.read_text(encoding="utf-8").split("\n")
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise RecordError(f"{path}:{number}: not a JSON object ({error})") from error
        with suppress(ValueError):
            rows.append(json.loads(torn))
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Experiment:
    """One experiment's records. The small files are read at once, the tables when first asked for."""

    path: Path
    name: str
    world: str
    has_oracle: bool
    status: str
    seed: int
    runs: tuple[Run, ...]
    """Every planned run, failed ones included."""
    pool: Mapping[str, Any] | None
    """`{"run_id", "samples", "prompts", "proxies"}` of the best-of-n pool."""
    proxies: Mapping[str, Any]
    """Name → `pairs`, `seeds`, `annotator` (its type), `user_reliability` and, where it belongs to a series,
    `dose`: `{"of", "value"}`. Older records name fewer of them."""
    cards: tuple[Mapping[str, Any], ...]
    """The reward models' cards, gold first."""
    wall_seconds: Mapping[str, float]
    headline_behaviour: str = "sycophancy"
    """The measure of the behaviour that findings, tables and figures are about first."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    """What belongs to no single run and failed or could not be recorded → why."""

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Open the experiment in the folder `path`; raises `RecordError` when it is not one, or too new."""
        index = path / "experiment.json"
        top = read_json(index, _TOP_KEYS)
        runs = []
        for place, row in enumerate(top["runs"]):
            missing = [key for key in _RUN_KEYS if key not in row]
            if missing:
                raise RecordError(f"{index}: runs[{place}]: no key `{missing[0]}`")
            settings = {key: row[key] for key in _RUN_KEYS}
            settings |= {key: row.get(key) for key in ("error", "group", "between_error", "mitigation")}
            runs.append(Run(path=path / row["run_id"], **settings))
        return cls(
            path=path,
            name=top["experiment"],
            **{key: top[key] for key in ("world", "has_oracle", "status", "seed")},
            runs=tuple(runs),
            pool=top["pool"],
            proxies=top.get("proxies") or {},
            cards=_read_cards(path / "reward_models"),
            wall_seconds=top.get("wall_seconds") or {},
            headline_behaviour=top.get("headline_behaviour") or "sycophancy",
            provenance=top.get("provenance") or {},
            missing=top.get("missing") or {},
        )

    @property
    def unfinished(self) -> str | None:
        """Why it has not come to its end, in words; None if it has."""
        return _UNFINISHED.get(self.status)

    @property
    def scored(self) -> bool:
        """Whether any point has been scored: without one there is nothing to report."""
        points = [point for run in self.runs for point in run.points]
        return any(point.sampled and point.scored for point in (*points, *filter(None, [self.pool_point])))

    @cached_property
    def doses(self) -> dict[str, tuple[str, float]]:
        """Proxy → (series, dose), for the proxies that have one."""
        found = {name: proxy.get("dose") for name, proxy in self.proxies.items()}
        return {name: (str(dose["of"]), float(dose["value"])) for name, dose in found.items() if dose}

    @cached_property
    def ways(self) -> Mapping[str, Way]:
        """Every way of spending KL, by the label that tables and figures show."""
        told_apart = grouped((run.way, run.group) for run in self.runs).values()
        return {str(way): way for way in (*(run.way for run in self.runs), *told_apart, POOL)}

    @cached_property
    def items(self) -> pd.DataFrame:
        """The evaluation prompts, one row each."""
        return read_table(self.path / "items.parquet", "items")

    @cached_property
    def pool_items(self) -> pd.DataFrame:
        """The prompts of the best-of-n pool."""
        return read_table(self.path / "pool_items.parquet", "items")

    @cached_property
    def audit(self) -> pd.DataFrame | None:
        """Every reward model's values of matched completions; None where the world writes none."""
        path = self.path / "audit.parquet"
        return read_table(path, "audit") if path.exists() else None

    @property
    def pool_point(self) -> Point | None:
        """The best-of-n pool's samples, or None where there is no pool."""
        return None if self.pool is None else Point(self.path / self.pool["run_id"] / "points" / "000000", 0)

    @property
    def reference(self) -> Point | None:
        """Fresh π_ref samples of the neutral prompts, which no curve uses; None where a world has none."""
        point = Point(self.path / "reference", 0)
        return point if point.sampled else None

    def gaps(self) -> pd.DataFrame:
        """What was planned and is not there: columns run_id, step (none for a run), gap (a sentence)."""
        rows: list[tuple[str, int | None, str]] = []
        for run in self.runs:
            if run.status != "complete":
                why = run.error or _UNFINISHED.get(run.status, "no reason was recorded")
                rows.append((run.run_id, None, f"the run did not complete ({run.status}): {why}"))
            if not run.points:
                rows.append((run.run_id, None, "the run left no point"))
            for point in run.points:
                if not point.sampled:
                    rows.append((run.run_id, point.step, "the point has no samples"))
                elif not (point.parsed and point.scored):
                    missing = "scored" if point.parsed else "parsed"
                    rows.append((run.run_id, point.step, f"the point was sampled but never {missing}"))
            if run.between_error:
                why = f"no policy between its checkpoints was measured: {run.between_error}"
                rows.append((run.run_id, None, why))
            rows += [
                (run.run_id, None, f"no policy with a KL of {each.kl:g} nats was found between its steps "
                 f"{each.step_a} and {each.step_b}")
                for each in run.between if each.alpha is None
            ]  # fmt: skip
        rows += [(what, None, f"missing: {why}") for what, why in self.missing.items()]
        pool = self.pool_point
        if pool is not None and not (pool.sampled and pool.scored):
            rows.append((pool.path.parents[1].name, None, "the best-of-n pool was not sampled and scored"))
        frame = pd.DataFrame(rows, columns=["run_id", "step", "gap"])
        return frame.astype({"step": "Int64"})


def _read_cards(folder: Path) -> tuple[Mapping[str, Any], ...]:
    cards = []
    for path in sorted(folder.glob("*.json")):
        card = read_json(path, ("name", "kind"))
        # The one confusion that would turn every figure upside down.
        if (card["kind"] == "proxy") != str(card["name"]).startswith("proxy/"):
            raise RecordError(f"{path}: `{card['name']}` has a card of kind `{card['kind']}`")
        cards.append(card)
    return tuple(sorted(cards, key=lambda card: (card["kind"] != "gold", card["name"])))
