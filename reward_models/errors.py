"""Errors that are meant for the person at the terminal."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right; the message says what is wrong, where, and what would be right.

    The command prints the message alone and exits with status 2.
    """


class Diverged(Exception):
    """A loss, reward or KL stopped being a finite number; the message says which, where and at what step."""


def why(error: Exception) -> str:
    """A library's refusal to read a model or a tokenizer, in one line of ours where its own misleads."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    if "custom code" in line:
        return "it needs program code of its own, and code that comes with a model is never run"
    return line


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was probably meant to be."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1)), None)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest choice, or "" where nothing is near."""
    near = nearest(word, choices)
    return f"; did you mean `{near}`?" if near else ""
