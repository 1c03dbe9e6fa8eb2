"""How a policy is optimised against a proxy. One import and one line each."""

from __future__ import annotations

from typing import Annotated

from reward_models.registry import Registry
from training.methods.base import Method
from training.methods.best_of_n import BestOfN
from training.methods.best_of_n_distilled import BestOfNDistilled
from training.methods.dpo import Dpo
from training.methods.grpo import Grpo
from training.methods.kto import Kto
from training.methods.online_dpo import OnlineDpo
from training.methods.ppo import Ppo
from training.methods.rloo import Rloo

METHODS: Registry[Method] = Registry("method")
METHODS.register(Rloo)
METHODS.register(Grpo)
METHODS.register(Ppo)
METHODS.register(Dpo)
METHODS.register(Kto)
METHODS.register(OnlineDpo)
METHODS.register(BestOfN)
METHODS.register(BestOfNDistilled)

AnyMethod = Annotated[Method, METHODS]
