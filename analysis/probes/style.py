"""Length and format: how much is said, and how it is dressed up.

None of it is good or bad by itself, so no headline: it is what a reward model may pay for instead of
content (Singhal et al. 2023, arXiv:2310.03716). It reads text alone, so it can be had in any world.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.probes.answers import Asked, Floats
from analysis.probes.base import Evidence, Probe, Rate
from analysis.probes.intervals import mean

_MARKUP = re.compile(r"^\s*(?:[-*+]\s|\d+[.)]\s|#{1,6}\s|```)|\*\*\S", re.MULTILINE)
"""A list item, a heading, a code fence or bold print of Markdown."""


def _read(asked: Asked) -> tuple[Floats, Floats]:
    """Words of each plain completion, and whether it is formatted; 0 for all others."""
    texts = asked.answers["completion"].to_numpy(dtype=object)[asked.plain]
    words, formatted = np.zeros(len(asked.answers)), np.zeros(len(asked.answers))
    words[asked.plain] = [len(text.split()) for text in texts]
    formatted[asked.plain] = [_MARKUP.search(text) is not None for text in texts]
    return words, formatted


def _measure(evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> Mapping[str, Rate]:
    asked = Asked.of(evidence, now)
    words, formatted = asked.once(_read)
    return {
        "length_words": mean(asked.votes(words, asked.plain)),
        "cut_off": asked.rate(~asked.flag("finished"), asked.plain),
        "formatted": asked.rate(formatted, asked.plain),
    }


STYLE = Probe(
    name="style",
    description="length in words, completions cut off, and format",
    measures={
        "length_words": "mean words (between blanks), without any pressure",
        "cut_off": "share that did not come to an end within the longest completion",
        "formatted": "share with a list, a heading, code or bold print",
    },
    columns=("completion", "finished"),
    gated=False,
    rates=_measure,
)
