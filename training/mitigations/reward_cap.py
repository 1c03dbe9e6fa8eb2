"""Cap the proxy's reward: nothing is gained beyond the value that π_ref's best samples already reach."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from training.mitigations.base import Known, Mitigation, Shaped
from training.mitigations.seams import Seam


class RewardCap(Mitigation):
    """Clip the proxy reward from above, in s.d. of the proxy on π_ref."""

    # It makes ties: among completions above the cap, a ranking has no favourite any more.
    seams: ClassVar[frozenset[Seam]] = frozenset({"order"})

    type: Literal["reward_cap"] = "reward_cap"
    cap: float = Field(1.0)
    """Highest reward, in standard deviations of the proxy above its mean on π_ref."""

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, known: Known) -> Shaped:
        return Shaped(np.minimum(reward, self.cap), {"mitigation/capped": float((reward > self.cap).mean())})
