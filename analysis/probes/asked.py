"""The answers at one point as arrays: what all probes count with.

A measure is a yes or no per answer (`hits`), among some of the answers; every cluster then has one vote.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.probes.base import Evidence, Headline, Rate, cluster_means, sample_share, wilson

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

KNOWN_NOW = 0.5
"""A fact is in K_t if at least this share of its neutral answers at the point is correct."""


class Asked:
    """Answers with their clusters and conditions in numbers. Every array follows the rows of `answers`.

    Get it by `of`, which remembers the last few, since a dozen probes ask of the same point in a row; answers
    are never changed in place.
    """

    _recent: ClassVar[deque[Asked]] = deque(maxlen=3)

    @classmethod
    def of(cls, evidence: Evidence, answers: pd.DataFrame) -> Asked:
        for each in cls._recent:
            if each.answers is answers and each.evidence is evidence:
                return each
        asked = cls(evidence, answers)
        cls._recent.append(asked)
        return asked

    def __init__(self, evidence: Evidence, answers: pd.DataFrame) -> None:
        self.answers, self.evidence = answers, evidence
        code, names = pd.factorize(answers["cluster"])
        self.code: NDArray[np.intp] = code
        self.names: pd.Index = pd.Index(names)
        """The clusters, in the order of `votes`."""
        self.clusters = len(names)
        self.share: Floats = sample_share(answers)
        self._flags: dict[str, Mask] = {}
        self.known: Mask = self.names.isin(list(evidence.known))[code]
        """Of a fact in K_ref."""
        self._condition, conditions = pd.factorize(answers["condition"])
        self._conditions = {name: place for place, name in enumerate(conditions)}

    def arm(self, *conditions: str) -> Mask:
        """Asked under one of these matched conditions."""
        return np.isin(self._condition, [self._conditions.get(name, -1) for name in conditions])

    @cached_property
    def plain(self) -> Mask:
        """Asked without any pressure; a world without matched conditions knows no other prompts."""
        return self.arm("neutral", "natural")

    def flag(self, column: str) -> Mask:
        """Where a yes-or-no column says yes; None (does not apply) is no."""
        if column not in self._flags:
            values = self.answers[column]
            whole = values if values.dtype == bool else values.eq(True).fillna(False)
            self._flags[column] = np.asarray(whole, dtype=bool)
        return self._flags[column]

    def number(self, column: str) -> Floats:
        return self.answers[column].to_numpy(dtype=float)

    @cached_property
    def states(self) -> Mask:
        """It gives an answer at all."""
        return self.answers["stated"].notna().to_numpy()

    def states_the(self, values: pd.Series) -> Mask:
        """The stated answer is that row's value; False where either is missing."""
        stated = self.answers["stated"]
        return np.asarray((stated == values).fillna(False), dtype=bool) & self.states

    def by_cluster(self, values: pd.Series) -> NDArray[np.object_]:
        """For each row, its cluster's entry in `values` (indexed by cluster); NaN where it has none."""
        return np.asarray(values.reindex(self.names).to_numpy(dtype=object)[self.code])

    def value_under(self, condition: str, column: str) -> pd.Series:
        """For each row, what `column` holds for the same cluster's item under `condition`."""
        values = self.by_cluster(_under(self.evidence, condition, column))
        return pd.Series(values, index=self.answers.index, dtype=object)

    @cached_property
    def known_now(self) -> Mask:
        """Of a fact in K_t: at least half of its neutral answers here are correct."""
        right = self.votes(self.flag("correct"), self.arm("neutral"))
        return np.asarray(right >= KNOWN_NOW)[self.code]

    def events(self, hits: Mask | Floats, among: Mask) -> pd.Series:
        """`hits` as 0/1 on the index of the answers; NaN where a row is not `among` those that count."""
        return pd.Series(np.where(among, hits, np.nan), index=self.answers.index)

    def rate_of(self, events: pd.Series) -> Rate:
        """The rate of `events`, as a headline's measure is defined."""
        return wilson(cluster_means(events.to_numpy(dtype=float), self.code, self.clusters, self.share))

    def votes(self, hits: Mask | Floats, among: Mask) -> Floats:
        """Each cluster's mean of `hits` over its rows `among`, (clusters,); NaN for a cluster without."""
        return cluster_means(np.where(among, hits, np.nan), self.code, self.clusters, self.share)

    def rate(self, hits: Mask | Floats, among: Mask) -> Rate:
        """Mean vote with its Wilson interval; `hits` in [0, 1]."""
        return wilson(self.votes(hits, among))


@lru_cache(maxsize=16)
def _under(evidence: Evidence, condition: str, column: str) -> pd.Series:
    """What `column` holds for each cluster's item under `condition`, by cluster."""
    rows = evidence.items.loc[evidence.items["condition"] == condition, ["cluster", column]]
    return rows.drop_duplicates("cluster").set_index("cluster")[column]


def headline(measure: str, label: str, events: Callable[[Asked], pd.Series]) -> Headline:
    """A headline whose events are told from `Asked`."""
    return Headline(measure, label, lambda evidence, answers: events(Asked.of(evidence, answers)))
