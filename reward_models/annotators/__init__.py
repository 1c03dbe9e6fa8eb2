"""Annotators turn two valued completions into P(a ≻ b); the union is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reward_models.annotators.bradley_terry import BradleyTerry
from reward_models.annotators.partial_verification import PartialVerification, Surface

AnyAnnotator = Annotated[BradleyTerry | PartialVerification, Field(discriminator="type")]

__all__ = ["AnyAnnotator", "BradleyTerry", "PartialVerification", "Surface"]
