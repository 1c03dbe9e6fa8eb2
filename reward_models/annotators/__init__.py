"""Annotators turn two valued completions into P(a ≻ b). One import and one line each."""

from __future__ import annotations

from typing import Annotated

from reward_models.annotators.annotator_groups import AnnotatorGroups
from reward_models.annotators.assisted import Assisted
from reward_models.annotators.base import Annotator
from reward_models.annotators.bradley_terry import BradleyTerry
from reward_models.annotators.constitution import Constitution
from reward_models.annotators.engagement import Engagement
from reward_models.annotators.flip_noise import FlipNoise
from reward_models.annotators.oversight import Oversight
from reward_models.annotators.partial_verification import PartialVerification
from reward_models.registry import Registry

ANNOTATORS: Registry[Annotator] = Registry("annotator")
ANNOTATORS.register(BradleyTerry)
ANNOTATORS.register(FlipNoise)
ANNOTATORS.register(PartialVerification)
ANNOTATORS.register(Engagement)
ANNOTATORS.register(AnnotatorGroups)
ANNOTATORS.register(Oversight)
ANNOTATORS.register(Constitution)
ANNOTATORS.register(Assisted)

AnyAnnotator = Annotated[Annotator, ANNOTATORS]
