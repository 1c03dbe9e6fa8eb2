"""Errors that are meant for the person at the terminal."""

from __future__ import annotations


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
