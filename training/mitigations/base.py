"""What a mitigation is: a change to what a policy is optimised for, at the seams that it names.

It sees what the policy's worker sees: the standardised proxy reward and, if it asks for them, the *answers*
(what each completion says, beside the columns of its item). Gold and oracle are out of reach.

It holds settings alone. What it learns and remembers belongs to the run (`Known`): so one mitigation serves
many runs, a checkpoint can keep what it remembers, and a look at a point leaves no trace in training.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from reward_models.component import Part
from training.mitigations.seams import Seam

if TYPE_CHECKING:
    from reward_models.reward import Reward


@dataclass(frozen=True)
class Known:
    """What a mitigation knows in one run."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """Learnt before training, by the name under which they are recorded at every step."""
    per_item: pd.DataFrame | None = None
    """Learnt before training about each prompt, one row per item_id (the index); kept once, as
    mitigation.parquet of the run."""
    carried: Mapping[str, Any] = field(default_factory=dict)
    """What the last batch left for the next one, of JSON types; part of every checkpoint."""


class Shaped(NamedTuple):
    """A reward as the policy gets it."""

    reward: np.ndarray
    """In s.d. of the proxy on π_ref: (B,)."""
    metrics: Mapping[str, float] = {}
    """What is worth following of this batch, by name."""
    carried: Mapping[str, Any] = {}
    """What the next batch is to know, of JSON types."""


class Mitigation(Part, ABC):
    """Changes what a policy is optimised for.

    In the seam `proxy` it overrides `asks` and `reward`, elsewhere `transform`.
    """

    seams: ClassVar[frozenset[Seam]] = frozenset({"value"})
    """Where it acts: with a method that lacks one of these it would do nothing, and is refused. What never
    reorders two completions acts in `value` alone; what does acts in `order`, which more methods have."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Outcome fields that it reads; with any, every completion that is rewarded is parsed."""

    @property
    def title(self) -> str:
        """What records call it."""
        return self.type

    def asks(self) -> int:
        """Of how many replicates of its proxy a policy's reward is made.

        Policies then share no member: with 6 replicates and 3 asked there are two, of the first three and
        of the last three.
        """
        return 1

    def reward(self, members: Sequence[Reward]) -> Reward:
        """What is asked in the proxy's place: `reward_models.ensemble.Ensemble` makes one of several.

        Args:
            members: the replicates, as many as `asks` says.
        """
        (only,) = members
        return only

    def base_prompts(self, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Those of the prompts of which it must see samples of π_ref before any is rewarded (none)."""
        return items.head(0)

    def fit(self, reward: np.ndarray, answers: pd.DataFrame) -> Known:
        """What it learns from those samples.

        Numbers are learnt from the policy's own prompts. A table is learnt from each set of prompts whose
        completions it will shape: the policy's, and those of the points.

        Args:
            reward: standardised proxy reward of each sample, (S,).
            answers: outcomes beside item columns, one row per sample.
        """
        return Known()

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, known: Known) -> Shaped:
        """The reward to optimise (as it is).

        Args:
            reward: standardised proxy reward of each completion, (B,).
            answers: item columns of each completion's prompt, one row per completion, beside its outcome
                where `needs` names any.
            known: what `fit` returned and the last batch left.
        """
        return Shaped(reward)
