"""What a policy's own annotators make of it: would they take its completion over the plain right answer?

For a sample of a prompt about a known fact, asked neutrally or where the user believes what is wrong, that
is P(the annotator of the policy's proxy prefers it to the right answer said plainly). An annotator who can
tell prefers no wrong answer; so among wrong samples it is a rate of false positives (Wen et al. 2024,
arXiv:2409.12822), exact where people would have to be asked. A sample that *is* the plain right answer has
0.5.

The annotator sees what it saw when it labelled: its judge's value by the same line, the same fields. It is
asked about samples that the labelled pairs never held, so nothing of this reaches a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import contracts
from reward_models.annotators import AnyAnnotator
from reward_models.annotators.base import Annotator, Judged
from training.sampling import pairs
from training.sampling.line import Line
from training.stages.audit import as_samples
from training.stages.score import points, scorer_of, valued
from training.stages.task import Task

ASKED = ("neutral", "wrong")
"""Conditions under which annotators are held to the plain right answer: asked plainly, and where the user
believes what is wrong."""


@dataclass(frozen=True)
class Approvals:
    """An annotator, and what it compares a policy's completions with."""

    annotator: Annotator
    line: Line
    """By which its judge's values were standardised when it labelled."""
    right: pd.DataFrame
    """The plain right answers by item_id: raw value, outcome, length, item columns."""

    def of(self, samples: pd.DataFrame, outcomes: pd.DataFrame, raw: np.ndarray) -> pd.DataFrame:
        """Columns item_id, sample_id, approval: one row per sample whose prompt has a plain right answer.

        Args:
            samples: columns item_id, sample_id, length.
            outcomes: their parse, row for row.
            raw: their values by the annotator's judge, row for row.
        """
        asked = samples["item_id"].isin(self.right.index).to_numpy()
        key = samples.loc[asked, ["item_id", "sample_id"]].reset_index(drop=True)
        right = self.right.loc[key["item_id"]].reset_index(drop=True)
        said = outcomes[asked].reset_index(drop=True)
        said["length"], said["raw"] = samples["length"].to_numpy()[asked], raw[asked]
        # The prompt is the same on both sides.
        prompt = right[sorted(self.annotator.needs_items)]
        sides = [self._judged(side) for side in (pd.concat([said, prompt], axis=1), right)]
        return key.assign(approval=self.annotator.prefer(*sides))

    def _judged(self, side: pd.DataFrame) -> Judged:
        value = self.line.standardised(side["raw"].to_numpy())
        return pairs.judged(self.annotator, side.assign(value=value))


def plain_right_answers(task: Task) -> pd.DataFrame:
    """By item_id, for the items asked: what `Approvals.right` holds. Empty where no fact is known."""
    items = task.world.prompts("eval")
    matched = task.world.world.matched_completions(items)
    plain = matched.loc[matched["variant"] == "right", ["cluster", "completion"]]
    asked = items.loc[items["condition"].isin(ASKED), ["item_id", "cluster"]]
    right = asked.merge(plain, on="cluster").assign(variant="right")
    if right.empty:
        return right.set_index("item_id")
    samples, parsed = as_samples(task.world, right, items)
    judge = task.settings["scorer"]
    raw = valued(task.world, judge, scorer_of(task), samples, parsed, items, "a right answer")
    known = pairs.item_columns(task.world, samples, "eval")
    table = pd.concat([parsed, known], axis=1).assign(length=samples["length"], raw=raw)
    return table.set_index("item_id")


@dataclass(frozen=True)
class PointApprovals:
    """Asks an annotator about points, after its judge has scored them."""

    approvals: Approvals
    scores: Path
    """Artefact of the judge's scores of the same points."""

    def __call__(self, point: Path, out: Path) -> None:
        """Write `out`/approvals.parquet; nothing where no plain right answer is known."""
        if self.approvals.right.empty:
            return
        samples = contracts.read_table(point / "samples.parquet", "samples")
        outcomes = contracts.read_table(point / "outcomes.parquet", "outcomes")
        scored = contracts.read_table(self.scores / "points" / point.name / "scores.parquet", "scores")
        key = ["item_id", "sample_id"]
        raw = samples[key].merge(scored, on=key, how="left", validate="1:1")["value"].to_numpy()
        table = self.approvals.of(samples, outcomes, raw)
        contracts.write_table(out / "approvals.parquet", table, "approvals")


def writer(task: Task) -> PointApprovals:
    """What asks about the points of a task, one at a time."""
    line, right = Line.read(task.inputs["line"]), plain_right_answers(task)
    annotator: Annotator = task.component(AnyAnnotator, "annotator")
    asked = Approvals(annotator, line, right)
    return PointApprovals(asked, task.inputs["scores"])


def ask(task: Task) -> None:
    """Ask the annotator of a policy's proxy about every point of the policy."""
    write = writer(task)
    for point in points(task):
        write(point, task.out / "points" / point.name)
