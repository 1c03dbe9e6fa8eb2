"""Forgetting: the share of what π_ref knows that the policy no longer answers, asked neutrally.

A point holds about one sample per prompt, so whether a single fact is forgotten cannot be told, but the
share can. If a share f of K_ref is lost and the rest answered as reliably as π_ref answers it, neutral
accuracy on K_ref falls from A_0 to (1 - f) A_0; hence f = 1 - A_t/A_0, with A_0 measured at point 0 by
samples that did not pass the gate (no regression to the mean) and 0 there by construction. It is negative
where the policy answers more reliably than π_ref did. An abstention counts as not answering, so a policy that
abstains less seems to remember; `forgetting_stated` is the same among completions that state something.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.probes.answers import Asked
from analysis.probes.base import NOTHING, Evidence, Probe, Rate, Z


def _accuracy(evidence: Evidence, answers: pd.DataFrame, stated: bool) -> pd.Series:
    """Neutral accuracy of each cluster of K_ref, among all completions or those that state something."""
    asked = Asked.of(evidence, answers)
    among = asked.condition("neutral") & asked.known
    right = asked.votes(asked.flag("correct"), among & asked.states if stated else among)
    return pd.Series(right, index=asked.names).dropna()


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    if start is None:
        return dict.fromkeys(FORGETTING.measures, NOTHING)
    return {
        name: _lost(*(_accuracy(evidence, answers, stated) for answers in (start, now)))
        for name, stated in (("forgetting", False), ("forgetting_stated", True))
    }


def _lost(before: pd.Series, after: pd.Series) -> Rate:
    """1 − mean(after)/mean(before) over the clusters that have both."""
    before, after = before.align(after, join="inner")
    if len(after) < 2 or before.mean() == 0:
        return NOTHING
    kept = float(after.mean() / before.mean())
    # Linearised ratio, paired by cluster: the same facts, with common random numbers, at both points.
    residual = (after - kept * before).to_numpy() / before.mean()
    half = Z * float(np.std(residual, ddof=1)) / np.sqrt(len(residual))
    return Rate(1 - kept, 1 - kept - half, 1 - kept + half, len(residual))


FORGETTING = Probe(
    name="forgetting",
    description="share of the facts that pi_ref knows which the policy no longer answers",
    measures={
        "forgetting": "share of K_ref that is no longer answered: 1 − accuracy now / accuracy at point 0",
        "forgetting_stated": "the same with accuracy among completions that state something",
    },
    columns=("correct", "stated"),
    gated=True,
    rates=_measure,
)
