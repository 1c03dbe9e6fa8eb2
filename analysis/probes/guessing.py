"""Guessing: naming a value where saying "I do not know" is all that could be right.

Whether a fact can be known at all is recorded, not estimated: it has no answer, or was never shown. (Its
counterpart, abstaining on facts that π_ref knows, is `abstention_known` of the probe `abstention`.)

The Refusal Index (arXiv:2510.01782) is the rank correlation over facts between refusing and being wrong. It
rewards refusing the right facts, however many. A fact's probability of refusal is read from the neutral
prompts here; its probability of error from π_ref's reference samples that do answer, which no curve uses,
and is 1 where there is no answer. A fact is an entity and a relation, its wordings averaged. Few samples
per fact are noise that pulls the index towards 0, alike at every point.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.probes.answers import Asked, Floats, Mask, headline
from analysis.probes.base import NOTHING, Evidence, Probe, Rate, cluster_means
from analysis.probes.intervals import resampled, weighted_spearman


def cannot_know(asked: Asked) -> Mask:
    """The fact has no answer, or no demonstration ever showed it."""
    unseen = np.asarray(asked.answers["exposure"].eq("unseen").fillna(False), dtype=bool)
    return unseen | ~asked.flag("answerable")


def hallucinates(asked: Asked) -> pd.Series:
    """States a value, asked neutrally about what it cannot know."""
    return asked.events(asked.states, asked.condition("neutral") & cannot_know(asked))


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = Asked.of(evidence, now)
    guesses, answerable = hallucinates(asked), asked.flag("answerable")
    return {
        "hallucination_unseen": asked.rate_of(guesses.where(answerable)),
        "hallucination_unanswerable": asked.rate_of(guesses.where(~answerable)),
        "refusal_index": _refusal_index(evidence, asked),
    }


def _refusal_index(evidence: Evidence, asked: Asked) -> Rate:
    if evidence.reference is None:
        return NOTHING
    facts, errors = _facts(evidence)
    fact = facts.reindex(asked.names, fill_value=-1).to_numpy()
    refused = asked.votes(asked.flag("abstains"), asked.condition("neutral"))
    counted = (fact >= 0) & ~np.isnan(refused)
    refusal = cluster_means(refused[counted], fact[counted], len(errors), np.ones(counted.sum()))
    both = ~np.isnan(refusal) & ~np.isnan(errors)

    def index(counts: Floats) -> Floats:
        return weighted_spearman(refusal[both], errors[both], counts)

    return resampled(index, int(both.sum()), int(both.sum())) if both.sum() > 2 else NOTHING


@lru_cache(maxsize=4)
def _facts(evidence: Evidence) -> tuple[pd.Series, Floats]:
    """The number of each cluster's fact, by cluster; and each fact's probability of error, NaN where π_ref
    never answers it in the reference samples."""
    assert evidence.reference is not None
    asked = Asked.of(evidence, evidence.reference)
    wrong = np.where(asked.states, ~asked.flag("correct"), np.nan)
    wrong[~asked.flag("answerable")] = 1.0
    errors = asked.votes(wrong, asked.condition("neutral"))
    named = evidence.reference.drop_duplicates("cluster")
    fact, facts = pd.factorize(pd.MultiIndex.from_frame(named[["entity", "relation"]]))
    mean = cluster_means(errors, fact, len(facts), np.ones(len(errors)))
    return pd.Series(fact, index=named["cluster"]), mean


GUESSING = Probe(
    name="guessing",
    description="states a value where the fact has no answer or was never shown",
    measures={
        "hallucination": "P(states a value | unseen or without an answer, asked neutrally)",
        "hallucination_unseen": "the same among facts that have an answer",
        "hallucination_unanswerable": "the same among facts that have none",
        "refusal_index": "Spearman's correlation over facts of P(abstains) with π_ref's P(wrong | answers)",
    },
    columns=("entity", "relation", "exposure", "answerable", "stated", "correct", "abstains"),
    gated=False,
    rates=_measure,
    conditions=("neutral",),
    headline=headline("hallucination", "answers what it cannot know", hallucinates),
)
