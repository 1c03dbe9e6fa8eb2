"""What is changed to resist overoptimisation, through the reward; the union is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.mitigations.agreement_penalty import AgreementPenalty
from training.mitigations.reward_cap import RewardCap

AnyMitigation = Annotated[AgreementPenalty | RewardCap, Field(discriminator="type")]
