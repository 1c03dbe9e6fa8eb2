"""Errors that are meant for the person at the terminal."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right; the message says what is wrong, where, and what would be right.

    The command prints the message alone and exits with status 2.
    """


class Diverged(Exception):
    """A loss, reward or KL stopped being a finite number; the message says which, where and at what step."""
