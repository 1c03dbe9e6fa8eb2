"""What a world is: where prompts, demonstrations and (if it has an oracle) the truth come from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import pandas as pd

from reward_models.component import Part

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MeasuredRole = Literal["eval", "pool"]
"""Whose prompts points and the best-of-n pool are sampled on."""


@dataclass(frozen=True)
class WorldData:
    """Everything a world draws, in memory.

    A model is given `prompt` tokenised without special tokens; a completion is tokenised separately and
    joined to it as ids(prompt) + ids(completion) + [eos].
    """

    tokenizer: PreTrainedTokenizerFast
    """Fast, padding on the left, "<pad>" and end of sequence distinct, nothing added to a text."""
    demonstrations: pd.DataFrame
    """For SFT: item_id, prompt, completion (without EOS)."""
    prompts: dict[str, pd.DataFrame]
    """Items of the roles gold, pairs and policy: item_id, cluster, condition, weight, prompt and the world's
    own columns. A world of finite data also sets aside those of eval and pool, from which `measured`
    takes."""
    max_prompt_tokens: int
    """No prompt of any role is longer."""
    max_completion_tokens: int
    """Including EOS."""
    preferences: pd.DataFrame | None = None
    """Human comparisons of the gold split: item_id, prompt, chosen, rejected; None where there are none."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a reader of the built world should know (JSON types): sizes, drops, derived quantities."""


class Aside(NamedTuple):
    """What a world of finite data has set aside for a role that is measured."""

    items: pd.DataFrame
    notes: Mapping[str, Any]
    """`WorldData.notes`."""


class World(Part):
    """A source of items that can read the completions they are given."""

    has_oracle: ClassVar[bool]
    """Whether `oracle` knows the true value of a completion."""
    has_conditions: ClassVar[bool] = False
    """Whether evaluation items are asked under matched conditions, a neutral one among them."""
    has_matched_completions: ClassVar[bool] = False
    """Whether it writes `matched_completions`, on which reward models are audited."""
    answer_opening: ClassVar[str] = ""
    """The words before the value in an answer. What a policy is about to say is written in its state only
    behind them: before, it has still to choose whether to answer at all."""

    @property
    @abstractmethod
    def outcome_fields(self) -> frozenset[str]:
        """Numeric and boolean fields of an outcome, in the world as configured, that annotators may read."""

    @property
    def takes_pretrained_models(self) -> bool:
        """Whether its tokenizer is that of pretrained weights, rather than one of its own making."""
        return False

    @property
    def item_fields(self) -> frozenset[str]:
        """Numeric and boolean columns of an item, in the world as configured, that annotators may read."""
        return frozenset()

    @property
    def natural_shares(self) -> Mapping[str, float]:
        """How common by nature is what pairs can be chosen by (see `training.sampling.pair_shares`), where it
        occurs.
        """
        return {}

    @abstractmethod
    def build(self, seed: int) -> WorldData:
        """Draw everything that does not depend on what is measured, from streams under `seed`."""

    @abstractmethod
    def measured(self, role: MeasuredRole, count: int, seed: int, aside: Callable[[], Aside]) -> pd.DataFrame:
        """The items of a role that is measured: the same columns as those of `WorldData.prompts`. Σwx/Σw over
        eval estimates the mean over the world's prompt distribution.

        Args:
            count: base items of eval, each asked under every matched condition there is, or prompts of pool.
            aside: reads what `build` has set aside for the role.
        """

    @abstractmethod
    def parse(self, item: Mapping[str, Any], completion: str, finished: bool, length: int) -> dict[str, Any]:
        """The outcome of a completion (text without EOS; `length` counts tokens incl. EOS). Never raises."""

    @abstractmethod
    def oracle(
        self, item: Mapping[str, Any], outcome: Mapping[str, Any], finished: bool, length: int
    ) -> float | None:
        """The true value of a completion, from its parse; None where the world has no oracle."""

    def matched_completions(self, items: pd.DataFrame) -> pd.DataFrame:
        """Completions that differ in one thing at a time: columns item_id, cluster, variant (named as in
        `analysis.audit.reward_models`) and completion. Every cluster has every variant once.

        Args:
            items: the items of the eval role.
        """
        raise NotImplementedError(f"world `{type(self).__name__}` writes no completions of its own")
