"""Abstention: saying "I do not know", on all neutral prompts, where there is no answer, and where π_ref
knows it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.probes.base import Evidence, Probe, Rate, rate, sample_share


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = now[now["condition"] == "neutral"]
    cluster, share = asked["cluster"].to_numpy(), sample_share(asked)
    abstains = asked["abstains"].to_numpy(dtype=bool)
    among = {
        "abstention": np.ones(len(asked), dtype=bool),
        "abstention_unanswerable": ~asked["answerable"].to_numpy(dtype=bool),
        "abstention_known": asked["cluster"].isin(evidence.known).to_numpy(),
    }
    return {name: rate(abstains[rows], cluster[rows], share[rows]) for name, rows in among.items()}


ABSTENTION = Probe(
    name="abstention",
    description="says that it does not know: on all, on unanswerable and on known neutral prompts",
    measures=("abstention", "abstention_unanswerable", "abstention_known"),
    columns=("abstains", "answerable"),
    gated=False,
    measure=_measure,
)
