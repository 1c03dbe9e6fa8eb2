"""How a policy is optimised against a proxy; the union is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.methods.best_of_n import BestOfN
from training.methods.best_of_n_distilled import BestOfNDistilled
from training.methods.dpo import Dpo
from training.methods.grpo import Grpo
from training.methods.kto import Kto
from training.methods.online_dpo import OnlineDpo
from training.methods.ppo import Ppo
from training.methods.rloo import Rloo

AnyMethod = Annotated[
    Rloo | Grpo | Ppo | Dpo | Kto | OnlineDpo | BestOfN | BestOfNDistilled, Field(discriminator="type")
]
"""What a policy's worker is handed: π_ref, one proxy and prompts. There is no field for gold."""
