"""Abstention: saying "I do not know", on all neutral prompts, where there is no answer, and where π_ref
knows it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.probes.base import Evidence, Probe, Rate, rate


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = now[now["condition"] == "neutral"]
    cluster, abstains = asked["cluster"].to_numpy(), asked["abstains"].to_numpy(dtype=bool)
    unanswerable = ~asked["answerable"].to_numpy(dtype=bool)
    known = asked["cluster"].isin(evidence.known).to_numpy()
    return {
        "abstention": rate(abstains, cluster),
        "abstention_unanswerable": rate(abstains[unanswerable], cluster[unanswerable]),
        "abstention_known": rate(abstains[known], cluster[known]),
    }


ABSTENTION = Probe(
    name="abstention",
    description="says that it does not know: on all, on unanswerable and on known neutral prompts",
    measures=("abstention", "abstention_unanswerable", "abstention_known"),
    columns=("abstains", "answerable"),
    gated=False,
    measure=_measure,
)
