"""What an experiment is called: the name in its config, and what the command line changes about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from training.store.identity import digest

LONGEST = 100
"""Characters of a name."""
READABLE = 24
"""Characters kept of a value that is no plain word."""


def derived(name: str, said: Mapping[str, str]) -> str:
    """`quickstart` and `{"seed": "3"}` make `quickstart-seed=3`.

    A legal directory name that depends on nothing else: what cannot be written plainly, or at full length, is
    shortened and ends in a hash of the whole.
    """
    if not said:
        return name
    suffix = "-".join(f"{key}={_word(value)}" for key, value in said.items())
    room = LONGEST - len(name) - 1
    if len(suffix) > room:
        mark = digest(suffix)[:8]
        suffix = f"{suffix[: max(0, room - len(mark) - 1)]}-{mark}"
    return f"{name}-{suffix}"


def _word(value: str) -> str:
    if re.fullmatch(rf"[A-Za-z0-9._+-]{{1,{2 * READABLE}}}", value):
        return value
    plain = re.sub(r"[^A-Za-z0-9._+]+", "-", value).strip("-")
    return f"{plain[:READABLE].rstrip('-')}-{digest(value)[:6]}".lstrip("-")
