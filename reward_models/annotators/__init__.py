"""Annotators turn two valued completions into P(a ≻ b); the union is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reward_models.annotators.assisted import Assisted
from reward_models.annotators.bradley_terry import BradleyTerry
from reward_models.annotators.constitution import Constitution
from reward_models.annotators.engagement import Engagement
from reward_models.annotators.flip_noise import FlipNoise
from reward_models.annotators.oversight import Oversight
from reward_models.annotators.partial_verification import PartialVerification
from reward_models.annotators.rater_groups import RaterGroups
from reward_models.annotators.surface import Surface

AnyAnnotator = Annotated[
    BradleyTerry
    | FlipNoise
    | PartialVerification
    | Engagement
    | RaterGroups
    | Oversight
    | Constitution
    | Assisted,
    Field(discriminator="type"),
]

__all__ = [
    "AnyAnnotator",
    "Assisted",
    "BradleyTerry",
    "Constitution",
    "Engagement",
    "FlipNoise",
    "Oversight",
    "PartialVerification",
    "RaterGroups",
    "Surface",
]
