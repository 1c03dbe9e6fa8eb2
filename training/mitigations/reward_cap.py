"""Cap the proxy's reward: nothing is gained beyond the value that π_ref's best samples already reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from training.mitigations.base import Mitigation, Shaped


class RewardCap(Mitigation):
    """Clip the proxy reward from above, in s.d. of the proxy on π_ref."""

    type: Literal["reward_cap"] = "reward_cap"
    cap: float = Field(1.0)
    """Highest reward, in standard deviations of the proxy above its mean on π_ref."""

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, fitted: Mapping[str, float]) -> Shaped:
        return Shaped(np.minimum(reward, self.cap), {"mitigation/capped": float((reward > self.cap).mean())})
