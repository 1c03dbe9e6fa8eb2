"""What is changed to resist overoptimisation. One import and one line each."""

from __future__ import annotations

from typing import Annotated

from reward_models.registry import Registry
from training.mitigations.agreement_penalty import AgreementPenalty
from training.mitigations.base import Mitigation
from training.mitigations.reward_cap import RewardCap

MITIGATIONS: Registry[Mitigation] = Registry("mitigation")
MITIGATIONS.register(AgreementPenalty)
MITIGATIONS.register(RewardCap)

AnyMitigation = Annotated[Mitigation, MITIGATIONS]
