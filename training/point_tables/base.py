"""What a further table of a point is: numbers of some of its samples, from what they say and are worth.

Its columns are stated in `analysis.records.contracts.CONTRACTS`, by its type, as those of a table `beside`;
probes find them among the answers. It is made of a policy's points, and nothing of it reaches a policy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from reward_models.annotators.base import Annotator
from reward_models.component import Part
from training.worlds.base import World

if TYPE_CHECKING:
    from training.worlds.built_world import BuiltWorld

Judge = Literal["gold", "oracle"]
KEY: list[str] = ["item_id", "sample_id"]


@dataclass(frozen=True)
class Given:
    """What a table is made with. An *answered* table has the columns item_id, sample_id, completion, ids,
    finished and length, the fields of the completion's outcome, those of its item that annotators may read
    and, where a judge was asked for, `value`: by it, in its s.d. on the labelled pairs.
    """

    world: BuiltWorld
    items: pd.DataFrame
    """The prompts of the points, with the world's own columns."""
    annotator: Annotator | None
    """Who labelled for the policy's proxy; None for a copy of gold."""
    answered: Callable[[pd.DataFrame], pd.DataFrame]
    """Further completions (columns item_id, sample_id, completion) → the answered table, row for row."""


class PointTable(Part, ABC):
    """A further table of the points of policies: `<type>.parquet`."""

    def wanted(self, world: World, annotator: Annotator | None) -> bool:
        """Whether it is made of a policy whose proxy's pairs were labelled by `annotator`."""
        return True

    def judge(self, world: World, annotator: Annotator | None) -> Judge | None:
        """Whose values it reads. With one it is made where gold is."""
        return None

    @abstractmethod
    def maker(self, given: Given) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """Called once per policy. What it returns makes the table of one point from that point's answered
        table: columns item_id, sample_id and those of its contract. A table without a row is not kept."""
