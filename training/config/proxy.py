"""A proxy as configured: who labels how many pairs, chosen how, and what is fitted to them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import Field, model_validator

from reward_models.annotators import AnyAnnotator
from reward_models.backbone import AnyModel
from reward_models.bradley_terry import Fit
from reward_models.component import Component


class Dose(Component):
    """Where a proxy stands in a series that differs in one thing: what figures put on an axis.

    It describes and decides nothing: the thing itself is set where it belongs.
    """

    of: str = Field(min_length=1)
    """What differs, in words; proxies with the same words are one series."""
    value: float
    """How much of it this proxy got; 0 is none."""


class Replicate(NamedTuple):
    """One replicate of a proxy, by the index of each of its random streams."""

    head: int
    """Initial head and order of training."""
    labels: int
    """The annotator's own randomness."""
    pairs: int
    """Window of pairs that it is labelled from."""


class Proxy(Component):
    """A reward model trained on annotators' labels: the only thing a policy is optimised against."""

    pairs: int = Field(2, ge=2, strict=True)
    """Labelled comparisons it is trained on; needed unless it is a copy of gold."""
    copies_gold: bool = False
    """A control: this proxy is the gold model itself. Proxy and gold are then one, so nothing may diverge."""
    seeds: int = Field(1, ge=1, strict=True)
    """Replicates, each with its own head, pairs and labels."""
    share_pairs: bool = False
    """Replicates differ in head and order of training only: all learn from the pairs and labels of the
    first."""
    model: AnyModel | None = None
    """Network of its backbone; default: π_ref's, whose fine-tuning it then shares."""
    fit: Fit = Fit()
    """How it is fitted."""
    annotator: AnyAnnotator | None = None
    """Who labels its pairs; default: the experiment's `annotator`."""
    user_reliability: float | None = Field(None, ge=0, le=1)
    """Choose its pairs so that, among prompts in which the user states a belief about a fact that has an
    answer, the belief is right in this share; default: the first pairs, as they come. Where users are mostly
    right, agreeing is a shortcut that a proxy can learn from annotators without any bias."""
    monitored_share: float | None = Field(None, ge=0, le=1)
    """Choose its pairs so that, among prompts with a tag, this share is monitored; default: as they come."""
    dose: Dose | None = None
    """Its place in a series of proxies, for figures."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Proxy:
        # Against the defaults, not by what was written: a recorded config writes every setting out.
        other = [n for n, field in type(self).model_fields.items() if getattr(self, n) != field.default]
        if self.copies_gold and (given := sorted(set(other) - {"copies_gold", "seeds", "dose"})):
            raise ValueError(f"copies_gold: gold is what it is, and {', '.join(given)} would do nothing")
        if not self.copies_gold and "pairs" not in self.model_fields_set:
            raise ValueError("pairs is missing: how many labelled comparisons is it trained on?")
        return self

    @property
    def labels(self) -> dict[str, Any]:
        """Everything that decides its labelled pairs, and so nothing of what is fitted to them."""
        return self.model_dump(exclude={"fit", "model", "seeds", "share_pairs", "dose"})

    @property
    def replicates(self) -> tuple[Replicate, ...]:
        """The streams of each replicate. None depends on how many there are."""
        return tuple(
            Replicate(k, 0, 0) if self.share_pairs else Replicate(k, k, k) for k in range(self.seeds)
        )

    @property
    def shares(self) -> dict[str, float]:
        """What its pairs are chosen by, as named in `training.sampling.pair_shares.SHARES`."""
        asked = {"user_reliability": self.user_reliability, "monitored_share": self.monitored_share}
        return {field: share for field, share in asked.items() if share is not None}
