"""What names a curve: the way in which KL was spent, the proxy, the score.

Tables, axes and legends show these by `str`; nobody cuts such a label apart again. Whoever has a label and
needs its parts looks it up in `Experiment.ways`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Way:
    """One way of spending KL: a method, and what sets a group of its runs apart."""

    method: str
    group: str | None = None
    """The entry of the config's `runs`, where runs of this method are told apart by it: they have a
    mitigation, or the method has several groups."""
    mitigation: str | None = None
    """What was changed to resist overoptimisation."""

    @property
    def label(self) -> str:
        """The method, with its group in brackets where it has one."""
        return self.method if self.group is None else f"{self.method} ({self.group})"

    def __str__(self) -> str:
        return self.label


POOL = Way("best_of_n", "pool")
"""Best of n, read off the pool of samples for every n."""


class CurveId(NamedTuple):
    """One score along KL, of all path runs of a way against a proxy, or of a proxy's pool."""

    way: Way
    proxy: str
    score: str

    @property
    def label(self) -> str:
        return f"{self.way}/{self.proxy}/{self.score}"

    def __str__(self) -> str:
        return self.label


def grouped(runs: Iterable[tuple[Way, str | None]]) -> dict[tuple[Way, str | None], Way]:
    """(way, group of runs) -> the way that tells groups apart: with the group where there are several.

    A way that has a mitigation names its group already.
    """
    keys = list(dict.fromkeys(runs))
    ways = [way for way, _ in keys]
    return {
        (way, group): Way(way.method, group, way.mitigation) if ways.count(way) > 1 else way
        for way, group in keys
    }
