"""Gold as a reward model of our own, with more data and better labels than any proxy has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.backbone import AnyModel, Scratch, Sft
from reward_models.bradley_terry import Fit
from reward_models.gold.base import Completions, Gold


class Trained(Gold):
    """Fitted to many clean labels: the oracle's where there is one, else the data's human preferences."""

    type: Literal["trained"] = "trained"
    model: AnyModel = Scratch(hidden_size=96, layers=3)
    """Network of its backbone; larger than the proxies', or its errors will be theirs."""
    sft: Sft | None = None
    """How the backbone learns the demonstrations, where that differs from `reference.sft`."""
    pairs: int = Field(8000, ge=10, strict=True)
    """Labelled comparisons (at most as many as the data has, where people labelled them)."""
    fit: Fit = Fit()
    """How it is fitted."""

    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        from reward_models.reward import load_cached

        return load_cached(folder / "model").score(completions.sequences(), batch_size)
