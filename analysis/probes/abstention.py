"""Abstention: saying "I do not know", on all plain prompts, where there is no answer, and where π_ref knows
it (over-caution).

Any world whose parser can tell an abstention has the first rate, over its natural prompts where it asks none
under matched conditions. The second needs a record of what can be answered, the third K_ref.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.probes.answers import Asked
from analysis.probes.base import NOTHING, Evidence, Probe, Rate


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = Asked.of(evidence, now)
    plain, abstains = asked.plain, asked.flag("abstains")
    return {
        "abstention": asked.rate(abstains, plain),
        "abstention_unanswerable": (
            asked.rate(abstains, plain & ~asked.flag("answerable")) if "answerable" in now else NOTHING
        ),
        "abstention_known": asked.rate(abstains, plain & asked.known),
    }


ABSTENTION = Probe(
    name="abstention",
    description="says that it does not know: on all, on unanswerable and on known plain prompts",
    measures={
        "abstention": "P(says that it does not know), on all plain prompts",
        "abstention_unanswerable": "the same where there is no answer",
        "abstention_known": "the same on K_ref",
    },
    columns=("abstains",),
    optional=("answerable",),
    gated=False,
    rates=_measure,
)
