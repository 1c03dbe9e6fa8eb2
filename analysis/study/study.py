"""An experiment and all that is computed from it, each thing once.

What several tables share (the curves of all runs, the pool, the law fits) is a function of a `Study` marked
with `once`, in the module that computes it. So a table names what it needs, nothing is computed that nobody
asks for, and nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import draw_clusters
from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves

T = TypeVar("T")

NUMBERED = ("prompts", "pool", "laws", "claims", "frontier", "forecasts", "comparisons", "mitigations",
            "behaviour", "knowing")  # fmt: skip
"""Streams that are keyed by their place here, so that published intervals stay; others are keyed by name."""


class Study:
    """The records of an experiment, and what was computed from them so far."""

    def __init__(self, experiment: Experiment, *, seed: int = 0) -> None:
        self.experiment = experiment
        self.seed = seed
        """Drives the resampling alone."""
        self._computed: dict[Callable[[Study], Any], Any] = {}

    @classmethod
    def read(cls, folder: Path) -> Study:
        """The study of the experiment in `folder`; raises `RecordError` where there is none."""
        return cls(Experiment.read(folder))

    def stream(self, name: str) -> np.random.Generator:
        """The random numbers of one table, or of what several share; from their start at every call."""
        key = NUMBERED.index(name) if name in NUMBERED else len(NUMBERED) + crc32(name.encode())
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(key,)))

    def remember(self, compute: Callable[[Study], T]) -> T:
        """`compute(self)`, computed at the first call."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        found: T = self._computed[compute]
        return found

    def given(self, values: Mapping[Callable[[Study], Any], Any]) -> Study:
        """The same with some results given instead of computed; what was computed from others stays."""
        other = Study(self.experiment, seed=self.seed)
        keys = {getattr(compute, "__wrapped__", compute): each for compute, each in values.items()}
        other._computed = self._computed | keys
        return other

    @cached_property
    def curves(self) -> list[RunCurves]:
        """Every run with all its points, failed ones included."""
        return [RunCurves.read(self.experiment, run) for run in self.experiment.runs]

    @cached_property
    def fact(self) -> NDArray[np.intp]:
        """The fact that each cluster of evaluation prompts asks about, from 0: (clusters,). Where a world
        records none, each cluster is its own."""
        items = self.experiment.items.drop_duplicates("cluster")
        return np.asarray(pd.factorize(items[fact_column(items)])[0])

    @property
    def facts(self) -> int:
        """How many there are."""
        return int(self.fact.max()) + 1

    @cached_property
    def counts(self) -> Floats:
        """The draws of evaluation prompts that all tables share: (replicates, clusters).

        Facts are drawn, with all that is asked about each: questions about one fact are not independent.
        """
        return np.asarray(draw_clusters(self.stream("prompts"), self.facts)[:, self.fact])

    @cached_property
    def proxy_pairs(self) -> dict[str, int]:
        """Proxy → how many pairs it was trained on."""
        pairs = {run.proxy: run.proxy_pairs for run in self.experiment.runs}
        return pairs | {n: proxy["pairs"] for n, proxy in self.experiment.proxies.items() if "pairs" in proxy}


def fact_column(items: pd.DataFrame) -> str:
    """The column that says which prompts stand or fall together: the fact, or else the cluster."""
    return "fact" if "fact" in items else "cluster"


def once(compute: Callable[[Study], T]) -> Callable[[Study], T]:
    """Mark a function of a study as one whose result is kept."""

    @wraps(compute)
    def remembered(study: Study) -> T:
        return study.remember(compute)

    return remembered
