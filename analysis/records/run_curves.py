"""A run's path as arrays, standardised: what every curve, interval and fit is computed from.

Scores are standardised as `analysis.records.scale` says: minus point 0 (which is π_ref itself) on the same
prompt, in units of that scorer's s.d. over π_ref's samples. Pairing by prompt takes the prompts' own spread
out of the difference.

Means are over the world's prompt distribution (stratum weights); standard errors and intervals resample
clusters, since matched conditions of one fact are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.records.contracts import CONTRACTS, REWARD, tables_beside
from analysis.records.experiment import Experiment, Point, RecordError, Run
from analysis.records.scale import weighted_sd, win_rates

SCORES = ("proxy", "gold", "oracle", REWARD)
RECORDED_LATER = ("k1_clamped", "k2_prompt")
"""Columns of the samples that older records lack: NaN there."""
SAMPLED = ("kl", "k1", "k2", "k3", "kl_reverse", *RECORDED_LATER, "length", "finished")
TEXT = ("completion", "length", "finished")
"""Columns of the samples that probes read beside the outcomes."""
WIN_RATE = "win_rate"


class SampleKeys:
    """Where each (item_id, sample_id) of a point's samples stands, so that tables are joined by id, not
    by order."""

    def __init__(self, items: pd.DataFrame, samples: pd.DataFrame, where: Path) -> None:
        self._ids = pd.Index(items["item_id"])
        self._names = pd.Index(samples["sample_id"].unique())
        self.where = where
        self.item: NDArray[np.intp] = self._items(samples, where)
        """Row in `items` of each sample."""
        self.count: NDArray[np.intp] = np.bincount(self.item, minlength=len(items))
        """Samples of each item."""
        if (self.count == 0).any():
            raise RecordError(f"{where}: no sample of item {self._ids[int(self.count.argmin())]!r}")
        self._slot = np.full(len(items) * len(self._names), -1)
        self._slot[self._code(samples)] = np.arange(len(samples))

    def _items(self, frame: pd.DataFrame, where: Path) -> NDArray[np.intp]:
        found = self._ids.get_indexer(pd.Index(frame["item_id"]))
        if (found < 0).any():
            row = int((found < 0).argmax())
            raise RecordError(
                f"{where}: row {row}: item {frame['item_id'].iloc[row]!r} is not in the item table"
            )
        return found

    def _code(self, frame: pd.DataFrame) -> NDArray[np.intp]:
        return self.item * len(self._names) + self._names.get_indexer(pd.Index(frame["sample_id"]))

    def find(self, frame: pd.DataFrame, where: Path) -> NDArray[np.intp]:
        """The sample that each row of `frame` belongs to; `RecordError` where there is none."""
        name = self._names.get_indexer(pd.Index(frame["sample_id"]))
        slot = self._slot[self._items(frame, where) * len(self._names) + name]
        lost = (name < 0) | (slot < 0)
        if lost.any():
            row = int(lost.argmax())
            item, sample = frame["item_id"].iloc[row], frame["sample_id"].iloc[row]
            raise RecordError(f"{where}: row {row}: item {item!r} has no sample {sample!r}")
        return slot

    def item_mean(self, values: Floats) -> Floats:
        """Mean over each item's samples, in the order of the item table."""
        return np.asarray(np.bincount(self.item, weights=values, minlength=len(self.count)) / self.count)


def read_scores(point: Point, keys: SampleKeys) -> dict[str, Floats]:
    """Raw scores by scorer, `REWARD` among them where it was recorded, each in the order of the samples; a
    scorer that skipped some samples is an error."""
    aligned = _align(point.scores(), keys, point.path / "scores.parquet")
    if point.has_rewards:
        aligned |= _align(point.rewards(), keys, point.path / "rewards.parquet")
    return aligned


def _align(scores: pd.DataFrame, keys: SampleKeys, where: Path) -> dict[str, Floats]:
    at, value = keys.find(scores, where), scores["value"].to_numpy(dtype=float)
    aligned = {}
    for scorer, rows in scores.groupby("scorer", sort=True).indices.items():
        column = np.full(len(keys.item), np.nan)
        column[at[rows]] = value[rows]
        if len(rows) != len(column):
            raise RecordError(f"{where}: `{scorer}` scored {len(rows)} of {len(column)} samples")
        aligned[str(scorer)] = column
    return aligned


def read_beside(point: Point, keys: SampleKeys) -> dict[str, Floats]:
    """The numbers of a point's further tables, each in the order of the samples; NaN where there are none."""
    columns = {}
    for kind in tables_beside():
        table = point.beside(kind)
        at = None if table is None else keys.find(table, point.path / f"{kind}.parquet")
        for name in CONTRACTS[kind].number:
            columns[name] = np.full(len(keys.item), np.nan)
            if table is not None and at is not None:
                columns[name][at] = table[name].to_numpy(dtype=float)
    return columns


def read_answers(items: pd.DataFrame, point: Point, keys: SampleKeys) -> pd.DataFrame:
    """The outcomes of a point beside the metadata of their items, `TEXT` of their samples and the numbers
    of further tables: one row per sample, in the order of the outcomes."""
    where = point.path / "outcomes.parquet"
    outcomes = point.outcomes()
    at = keys.find(outcomes, where)
    if len(outcomes) != len(keys.item):
        raise RecordError(f"{where}: {len(outcomes)} outcomes of {len(keys.item)} samples")
    shared = [name for name in outcomes if name in items and name != "item_id"]
    if shared:
        raise RecordError(f"{where}: `{shared[0]}` is a column of the item table")
    samples = point.samples(("item_id", "sample_id", *TEXT))
    row = np.empty(len(samples), dtype=np.intp)
    row[keys.find(samples, point.path / "samples.parquet")] = np.arange(len(samples))
    said = samples[list(TEXT)].iloc[row[at]].reset_index(drop=True)
    asked = items.iloc[keys.item[at]].reset_index(drop=True)
    for name, values in read_beside(point, keys).items():
        said[name] = values[at]
    return pd.concat([asked, outcomes.drop(columns="item_id"), said], axis=1)


@dataclass(frozen=True)
class RunCurves:
    """All points of one run as arrays over (points, items); gaps are rows of NaN."""

    run: Run
    steps: NDArray[np.intp]
    weight: Floats
    """Stratum weight of each item."""
    cluster: NDArray[np.intp]
    """Cluster code of each item."""
    raw: Mapping[str, Floats]
    """Item means of `SAMPLED`, of `WIN_RATE` (of gold, against point 0) and, unstandardised, of `SCORES`."""
    unit: Mapping[str, float]
    """π_ref's s.d. of each of `SCORES`, NaN where point 0 has no such score; 1 for `REWARD`, which comes in
    s.d. of the proxy."""
    answers: Mapping[int, pd.DataFrame]
    """By step: outcomes beside item metadata. Points that were never parsed are absent."""
    scores: Mapping[int, Mapping[str, Floats]]
    """By step and scorer: raw score of each sample, in the order of `answers`. Points that were never scored
    are absent."""

    @classmethod
    def read(cls, experiment: Experiment, run: Run, points: Sequence[Point] | None = None) -> RunCurves:
        """Read every point of `run`, or those given; raises `RecordError` on a record that cannot be trusted.

        The first is π_ref, on which scores are standardised.
        """
        points = run.points if points is None else points
        items = experiment.items
        names = (*SAMPLED, *SCORES, WIN_RATE)
        raw = {name: np.full((len(points), len(items)), np.nan) for name in names}
        unit = dict.fromkeys(SCORES, np.nan)
        answers, scored = {}, {}
        start: tuple[Floats, NDArray[np.intp]] | None = None
        weight = items["weight"].to_numpy(dtype=float)
        scorers = {"proxy": run.scorer, "gold": "gold", "oracle": "oracle", REWARD: REWARD}
        for place, point in enumerate(points):
            if not point.sampled:
                continue
            samples = point.samples(("item_id", "sample_id", *SAMPLED))
            keys = SampleKeys(items, samples, point.path / "samples.parquet")
            for name in SAMPLED:
                if name in samples:
                    raw[name][place] = keys.item_mean(samples[name].to_numpy(dtype=float))
            if point.parsed:
                answers[point.step] = read_answers(items, point, keys)
            if not point.scored:
                continue
            scores = scored[point.step] = read_scores(point, keys)
            for name, scorer in scorers.items():
                if scorer not in scores:
                    continue
                raw[name][place] = keys.item_mean(scores[scorer])
                if point.step == 0:
                    share = (weight / keys.count)[keys.item]
                    unit[name] = 1.0 if name == REWARD else weighted_sd(scores[scorer], share)
            if "gold" in scores:
                if point.step == 0:
                    start = scores["gold"], keys.item
                if start is not None:
                    raw[WIN_RATE][place] = win_rates(scores["gold"], keys.item, *start, unit["gold"])
        return cls(
            run=run,
            steps=np.array([point.step for point in points], dtype=np.intp),
            weight=weight,
            cluster=pd.factorize(items["cluster"])[0],
            raw=raw,
            unit=unit,
            answers=answers,
            scores=scored,
        )

    @cached_property
    def sums(self) -> Mapping[str, ClusterSums]:
        """Cluster sums of every curve, scores standardised: what resampling needs."""
        curves = {name: self.raw[name] for name in (*SAMPLED, WIN_RATE)}
        for name in SCORES:
            unit = self.unit[name] if self.unit[name] > 0 else np.nan
            curves[name] = (self.raw[name] - self._start(name)) / unit
        return {name: ClusterSums.of(curve, self.weight, self.cluster) for name, curve in curves.items()}

    def _start(self, name: str) -> Floats:
        """Item means at point 0, or NaN where the run has none."""
        if len(self.steps) and self.steps[0] == 0:
            return self.raw[name][0]
        return np.full(len(self.weight), np.nan)

    def measured(self, name: str) -> bool:
        """Whether any point carries a standardised value of `name`."""
        return bool(np.isfinite(self.sums[name].mean()).any())
