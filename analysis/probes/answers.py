"""The answers at one point as arrays: what all probes count with.

A measure is a yes or no per answer (`hits`), among some of the answers; every cluster then has one vote.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from copy import copy
from functools import cached_property, lru_cache
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.probes.base import SHARE, Evidence, Headline, Rate, cluster_means, sample_share, wilson

Mask = NDArray[np.bool_]
T = TypeVar("T")

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
                cls._recent.remove(each)
                cls._recent.append(each)
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
        self._told: dict[Hashable, Any] = {}
        """What no weight enters, by what was asked: shared by all weighings of these answers."""
        self.known: Mask = self.names.isin(list(evidence.known))[code]
        """Of a fact in K_ref."""
        self._condition, conditions = pd.factorize(answers["condition"])
        self._conditions = {name: place for place, name in enumerate(conditions)}

    def weighed(self, share: Floats) -> Asked:
        """The same answers with other weights within their clusters, `share` (rows,)."""
        other = copy(self)
        other.answers, other.share = self.answers.assign(**{SHARE: share}), share
        other.__dict__.pop("known_now", None)  # the one property that weights enter
        self._recent.append(other)
        return other

    def once(self, tell: Callable[[Asked], T]) -> T:
        """`tell(self)`, which may not depend on weights: told once for all weighings of these answers."""
        return self._remembered(tell, lambda: tell(self))

    def _remembered(self, key: Hashable, tell: Callable[[], T]) -> T:
        if key not in self._told:
            self._told[key] = tell()
        found: T = self._told[key]
        return found

    def arm(self, *conditions: str) -> Mask:
        """Asked under one of these matched conditions."""
        codes = [self._conditions.get(name, -1) for name in conditions]
        return self._remembered(("arm", conditions), lambda: np.isin(self._condition, codes))

    @cached_property
    def plain(self) -> Mask:
        """Asked without any pressure; a world without matched conditions knows no other prompts."""
        return self.arm("neutral", "natural")

    def flag(self, column: str) -> Mask:
        """Where a yes-or-no column says yes; None (does not apply) is no."""
        return self._remembered(("flag", column), lambda: self._flag(column))

    def _flag(self, column: str) -> Mask:
        values = self.answers[column]
        whole = values if values.dtype == bool else values.eq(True).fillna(False)
        return np.asarray(whole, dtype=bool)

    def number(self, column: str) -> Floats:
        return self.answers[column].to_numpy(dtype=float)

    @cached_property
    def states(self) -> Mask:
        """It gives an answer at all."""
        return self.answers["stated"].notna().to_numpy()

    def states_its(self, column: str) -> Mask:
        """The stated answer is what `column` holds in that row; False where either is missing."""
        return self._remembered(("states", column), lambda: self.states_the(self.answers[column]))

    def states_the(self, values: pd.Series) -> Mask:
        """The stated answer is that row's value; False where either is missing."""
        stated = self.answers["stated"]
        return np.asarray((stated == values).fillna(False), dtype=bool) & self.states

    def by_cluster(self, values: pd.Series) -> NDArray[np.object_]:
        """For each row, its cluster's entry in `values` (indexed by cluster); NaN where it has none."""
        return np.asarray(values.reindex(self.names).to_numpy(dtype=object)[self.code])

    def value_under(self, condition: str, column: str) -> pd.Series:
        """For each row, what `column` holds for the same cluster's item under `condition`."""

        def tell() -> pd.Series:
            values = self.by_cluster(_under(self.evidence, condition, column))
            return pd.Series(values, index=self.answers.index, dtype=object)

        return self._remembered(("under", condition, column), tell)

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
