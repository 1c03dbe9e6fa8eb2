"""Repetition: saying the same thing twice within one completion.

A completion repeats itself if a clause of it (what lies between full stops, exclamation marks, question marks
and line breaks) or a run of three words occurs twice. Beside it seq-rep-3 (Welleck et al. 2020,
arXiv:1908.04319): the share of a completion's runs of three words that have occurred in it before. Words and
marks count alike. It reads text alone, so it can be had in any world.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.probes.answers import Asked, Floats, headline
from analysis.probes.base import Evidence, Probe, Rate

_WORD = re.compile(r"\w+|[^\w\s]")
_END = re.compile(r"[.!?\n]+")
RUN = 3


class _Repeated(NamedTuple):
    repeats: bool
    seq_rep: float
    """NaN in a completion of fewer than three words."""


@lru_cache(maxsize=2**16)  # a policy that is optimised far says few things many times
def _repeated(completion: str) -> _Repeated:
    words = _WORD.findall(completion.lower())
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    clauses = [" ".join(clause.split()) for clause in _END.split(completion.lower())]
    clauses = [clause for clause in clauses if clause]
    again = len(runs) - len(set(runs))
    repeats = again > 0 or len(set(clauses)) < len(clauses)
    return _Repeated(repeats, again / len(runs) if runs else float("nan"))


def _read(asked: Asked) -> tuple[Floats, Floats]:
    """Whether each plain completion repeats itself, and its seq-rep-3; NaN for all others."""
    found = np.full((len(asked.answers), 2), np.nan)
    if asked.plain.any():
        texts = asked.answers["completion"].to_numpy(dtype=object)[asked.plain]
        found[asked.plain] = [_repeated(text) for text in texts]
    return found[:, 0], found[:, 1]


def repeats_itself(asked: Asked) -> pd.Series:
    """Says a clause or a run of three words twice, asked without any pressure."""
    return asked.events(asked.once(_read)[0], asked.plain)


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = Asked.of(evidence, now)
    return {"seq_rep_3": asked.rate(asked.once(_read)[1], asked.plain)}


REPETITION = Probe(
    name="repetition",
    description="says a clause or a run of three words twice",
    measures={
        "repetition": "P(says a clause or a run of three words twice), without any pressure",
        "seq_rep_3": "mean share of a completion's runs of three words that it has said before",
    },
    columns=("completion",),
    gated=False,
    rates=_measure,
    headline=headline("repetition", "repeats itself", repeats_itself),
)
