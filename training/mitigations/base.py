"""What a mitigation is: a change to the reward that a policy is optimised for, nothing else.

It sees what the policy's worker sees: the standardised proxy reward and, if it asks for them, the *answers*
(what each completion says, beside the columns of its item). Gold and oracle are out of reach.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd

from reward_models.component import Part


class Shaped(NamedTuple):
    """A reward as the policy gets it."""

    reward: np.ndarray
    """In s.d. of the proxy on π_ref: (B,)."""
    metrics: Mapping[str, float]
    """What is worth following of this batch, by name."""


class Mitigation(Part, ABC):
    """Turns the standardised proxy reward into the reward to optimise."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Outcome fields that it reads; with any, every completion that is rewarded is parsed."""

    @property
    def title(self) -> str:
        """What records call it."""
        return self.type

    def base_prompts(self, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Those of the policy's prompts of which it must see samples of π_ref before training (none)."""
        return items.head(0)

    def fit(self, reward: np.ndarray, answers: pd.DataFrame) -> Mapping[str, float]:
        """What it learns from those samples, by name; recorded with the run.

        Args:
            reward: standardised proxy reward of each sample, (S,).
            answers: outcomes beside item columns, one row per sample.
        """
        return {}

    @abstractmethod
    def transform(self, reward: np.ndarray, answers: pd.DataFrame, fitted: Mapping[str, float]) -> Shaped:
        """The reward to optimise.

        Args:
            reward: standardised proxy reward of each completion, (B,).
            answers: outcomes beside item columns, one row per completion; empty unless `needs` names any.
            fitted: what `fit` returned.
        """
