"""When a text says that it does not know. There is no grammar to read here, so there is a list of phrases.

The first sentence decides: what stands later qualifies an answer that was given. A phrase followed by "but"
("I'm not sure, but I think …") hedges an answer and is no abstention. Everything that abstains in other words
is missed, and so the rate is a lower bound, comparable between policies rather than true.
"""

from __future__ import annotations

import re

ABSTENTIONS = (
    "i don't know",
    "i do not know",
    "i don't have an answer",
    "i do not have an answer",
    "i have no idea",
    "i have no comment",
    "i'm not sure",
    "i am not sure",
    "i'm not certain",
    "i am not certain",
    "i can't answer",
    "i cannot answer",
    "i can't say",
    "i cannot say",
    "i couldn't say",
    "i could not say",
    "i'm unable to answer",
    "i am unable to answer",
    "i'm not able to answer",
    "i am not able to answer",
)
_SENTENCE = re.compile(r"[^.!?\n]*")
_ABSTENTION = re.compile(rf"\b(?:{'|'.join(map(re.escape, ABSTENTIONS))})\b(?!,?\s+but\b)")


def abstains(text: str) -> bool:
    """Whether the first sentence of `text` holds a phrase of `ABSTENTIONS`; letter case and the shape of
    apostrophes do not matter."""
    first = _SENTENCE.match(text.strip().replace("’", "'").lower())
    return first is not None and _ABSTENTION.search(first.group()) is not None
