"""Cap the proxy's reward: nothing is gained beyond the value that π_ref's best samples already reach."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from reward_models.component import Component


class RewardCap(Component):
    """Clip the proxy reward from above, in s.d. of the proxy on π_ref."""

    type: Literal["reward_cap"] = "reward_cap"
    seam: ClassVar[str] = "reward"
    cap: float = Field(1.0)
    """Highest reward, in standard deviations of the proxy above its mean on π_ref."""

    def transform(self, reward: np.ndarray) -> np.ndarray:
        """The reward to optimise, from the standardised proxy reward, shape (B,)."""
        return np.minimum(reward, self.cap)
