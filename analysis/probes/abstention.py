"""Abstention: saying "I do not know", on all neutral prompts, where there is no answer, and where π_ref
knows it (over-caution)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.probes.asked import Asked
from analysis.probes.base import Evidence, Probe, Rate


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = Asked.of(evidence, now)
    neutral, abstains = asked.arm("neutral"), asked.flag("abstains")
    return {
        "abstention": asked.rate(abstains, neutral),
        "abstention_unanswerable": asked.rate(abstains, neutral & ~asked.flag("answerable")),
        "abstention_known": asked.rate(abstains, neutral & asked.known),
    }


ABSTENTION = Probe(
    name="abstention",
    description="says that it does not know: on all, on unanswerable and on known neutral prompts",
    measures=("abstention", "abstention_unanswerable", "abstention_known"),
    columns=("abstains", "answerable"),
    gated=False,
    measure=_measure,
)
