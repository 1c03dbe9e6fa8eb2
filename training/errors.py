"""Errors that are meant for the person at the terminal (one definition, shared with `reward_models`)."""

from __future__ import annotations

from reward_models.errors import Diverged, UserError, did_you_mean, nearest, why

__all__ = ["Diverged", "UserError", "did_you_mean", "nearest", "why"]
