"""Pairs to show to annotators, planted by hand or drawn at random, and an annotator of every type."""

from __future__ import annotations

from typing import Any

import numpy as np

from reward_models.annotators import (
    AnnotatorGroups,
    AnyAnnotator,
    Assisted,
    BradleyTerry,
    Constitution,
    Engagement,
    FlipNoise,
    Oversight,
    PartialVerification,
)
from reward_models.annotators.base import Annotator, Judged
from reward_models.annotators.constitution import PRINCIPLES
from reward_models.annotators.surface import Surface

FLAGS = (
    *("correct", "abstains", "confident", "hedged"),
    *("passes", "tampers", "finishes", "suits_one", "suits_two"),
)
COUNTS = ("siding", "echoing", "praise", "evidence", "malformed", "checkpoints", "repeats")
EVERY_SURFACE = Surface(
    agreement=0.7, echo=-0.2, confidence=0.5, length=0.1, praise=-0.3, evidence=0.4, passing=0.6, gates=0.2
)


def judged(value: Any = 0.0, length: Any = 8.0, monitored: Any = 0.0, **outcome: Any) -> Judged:
    """Completions with the given fields, and 0 in all others."""
    value = np.atleast_1d(np.asarray(value, float))

    def column(given: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(given, float), value.shape)

    fields = {name: column(outcome.pop(name, 0.0)) for name in FLAGS + COUNTS}
    assert not outcome, f"no such field: {outcome}"
    return Judged(value, fields, column(length), {"monitored": column(monitored)})


def random_pairs(seed: int, count: int = 50) -> tuple[Judged, Judged]:
    """Two completions of each of `count` prompts, unrelated in every field."""
    rng = np.random.default_rng(seed)
    monitored = rng.integers(2, size=count)

    def side() -> Judged:
        fields = {name: rng.integers(2, size=count) for name in FLAGS}
        fields |= {name: rng.integers(4, size=count) for name in COUNTS}
        return judged(rng.normal(size=count) * 3, rng.integers(1, 20, size=count), monitored, **fields)

    return side(), side()


def prefers(annotator: Annotator, a: Judged, b: Judged) -> float:
    """P(a is preferred to b) of the first pair."""
    return float(annotator.prefer(a, b)[0])


def dosed(dose: float, **noise: float) -> list[AnyAnnotator]:
    """One annotator of every type whose bias has the given dose, from 0 (none) to 1 (as much as can be)."""
    surface = {"surface": EVERY_SURFACE, **noise}
    principles = dict.fromkeys(PRINCIPLES, dose) | {"value": 1.0}
    return [
        BradleyTerry(**noise),
        FlipNoise(**({"flip_rate": 0.49 * dose} | noise)),
        PartialVerification(verification_rate=1 - dose, **surface),
        Engagement(weight=dose, pull=EVERY_SURFACE, **noise),
        AnnotatorGroups(weight=3 * dose, share=0.7, **noise),
        Oversight(lapse_rate=dose, **surface),
        Constitution(principles=principles, **noise),
        Assisted(verification_rate=1 - dose, critic_skill=0.3, false_alarm=0.2, **surface),
    ]


TYPES = [annotator.type for annotator in dosed(0)]
