"""Gold is the held-out reward model that stands in for the truth, and is never optimised against.

One import and one line each.
"""

from __future__ import annotations

from typing import Annotated

from reward_models.gold.base import Gold
from reward_models.gold.pretrained import Pretrained
from reward_models.gold.programmatic import Programmatic
from reward_models.gold.trained import Trained
from reward_models.registry import Registry

GOLDS: Registry[Gold] = Registry("gold")
GOLDS.register(Trained)
GOLDS.register(Pretrained)
GOLDS.register(Programmatic)

AnyGold = Annotated[Gold, GOLDS]
