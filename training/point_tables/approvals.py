"""What a policy's own annotators make of it: would they take its completion over the plain right answer?

For a sample of a prompt about a known fact, asked neutrally or where the user believes what is wrong, that
is P(the annotator of the policy's proxy prefers it to the right answer said plainly). An annotator who can
tell prefers no wrong answer; so among wrong samples it is a rate of false positives (Wen et al. 2024,
arXiv:2409.12822), exact where people would have to be asked. A sample that *is* the plain right answer has
0.5.

The annotator sees what it saw when it labelled: its judge's value by the same line, the same fields. It is
asked about samples that the labelled pairs never held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pandas as pd

from reward_models.annotators.base import Annotator
from training.point_tables.base import KEY, Given, Judge, PointTable
from training.worlds.base import World

ASKED = ("neutral", "wrong")
"""Conditions under which annotators are held to the plain right answer: asked plainly, and where the user
believes what is wrong."""


class Approvals(PointTable):
    """How likely the annotator of a policy's proxy prefers each completion to the plain right answer."""

    type: Literal["approvals"] = "approvals"

    def wanted(self, world: World, annotator: Annotator | None) -> bool:
        return annotator is not None and world.has_matched_completions

    def judge(self, world: World, annotator: Annotator | None) -> Judge | None:
        return annotator.judge(world.has_oracle) if annotator else None

    def maker(self, given: Given) -> Callable[[pd.DataFrame], pd.DataFrame]:
        from training.sampling.pairs import judged

        annotator, right = given.annotator, plain_right_answers(given)
        assert annotator is not None, "made where there is one"

        def approvals(said: pd.DataFrame) -> pd.DataFrame:
            said = said[said["item_id"].isin(right.index)]
            if said.empty:
                return said[KEY]
            sides = (judged(annotator, side) for side in (said, right.loc[said["item_id"]]))
            return said[KEY].assign(approval=annotator.prefer(*sides))

        return approvals


def plain_right_answers(given: Given) -> pd.DataFrame:
    """The answered plain right answer to each item asked about, by item_id; no row where no fact is known."""
    matched = given.world.world.matched_completions(given.items)
    plain = matched.loc[matched["variant"] == "right", ["cluster", "completion"]]
    asked = given.items.loc[given.items["condition"].isin(ASKED), ["item_id", "cluster"]]
    right = asked.merge(plain, on="cluster").assign(sample_id="right")
    return (given.answered(right) if len(right) else right).set_index("item_id")
