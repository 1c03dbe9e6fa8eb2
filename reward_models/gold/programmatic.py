"""Gold as the truth itself."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from reward_models.gold.base import Completions, Gold


class Programmatic(Gold):
    """The world's oracle itself serves as gold: the control in which gold cannot be Goodharted."""

    type: Literal["programmatic"] = "programmatic"

    def problems(self, has_oracle: bool) -> list[str]:
        return [] if has_oracle else ["it is the world's oracle, and this world has none"]

    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        """The oracle's own values."""
        assert completions.oracle is not None, "refused at validation: this world has no oracle"
        return completions.oracle
