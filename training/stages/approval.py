"""What a policy's own raters make of it: would they take its completion over the plain right answer?

For a sample of a prompt about a known fact, asked neutrally or where the user believes what is wrong, that
is P(the annotator of the policy's proxy prefers it to the right answer said plainly). A rater who can tell
prefers no wrong answer; so among wrong samples it is a rate of false positives (Wen et al. 2024,
arXiv:2409.12822), exact where people would have to be asked. A sample that *is* the plain right answer has
0.5.

The rater sees what it saw when it labelled: gold standardised by the same line, the same fields. It is asked
about samples that the labelled pairs never held, so nothing of this reaches a policy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reward_models.annotators.base import Annotator, Judged
from training.sampling import pairs


@dataclass(frozen=True)
class Rater:
    """An annotator, and what it compares a policy's completions with."""

    annotator: Annotator
    labelled: pd.DataFrame
    """Valued pairs as it labelled them: gold before (`gold_raw`) and after standardisation (`gold`)."""
    right: pd.DataFrame
    """The plain right answers by item_id: gold before standardisation, outcome, length, item columns."""

    def approvals(self, samples: pd.DataFrame, outcomes: pd.DataFrame, gold: np.ndarray) -> pd.DataFrame:
        """Columns item_id, sample_id, approval: one row per sample whose prompt has a plain right answer.

        Args:
            samples: columns item_id, sample_id, length.
            outcomes: their parse, row for row.
            gold: their gold scores, raw, row for row.
        """
        asked = samples["item_id"].isin(self.right.index).to_numpy()
        key = samples.loc[asked, ["item_id", "sample_id"]].reset_index(drop=True)
        right = self.right.loc[key["item_id"]].reset_index(drop=True)
        said = outcomes[asked].reset_index(drop=True)
        said["length"], said["gold_raw"] = samples["length"].to_numpy()[asked], gold[asked]
        # The prompt is the same on both sides.
        prompt = right[sorted(self.annotator.needs_items)]
        sides = [self._judged(side) for side in (pd.concat([said, prompt], axis=1), right)]
        return key.assign(approval=self.annotator.prefer(*sides))

    def _judged(self, side: pd.DataFrame) -> Judged:
        # The line by which labelling standardised gold, read off its own table.
        line = np.polyfit(self.labelled["gold_raw"], self.labelled["gold"], 1)
        return pairs.judged(self.annotator, side.assign(gold=np.polyval(line, side["gold_raw"])))
