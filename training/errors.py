"""Errors that are meant for the person at the terminal (but one shared with `reward_models`)."""

from __future__ import annotations

from reward_models.errors import Diverged, UserError, did_you_mean, nearest, why

__all__ = ["Diverged", "Interrupted", "UserError", "did_you_mean", "nearest", "why"]


class Interrupted(Exception):
    """Ctrl-C or a signal ended the command; the message says what is kept."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        """Exit status: 128 and the number of the signal."""
