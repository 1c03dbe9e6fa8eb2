"""Methods that learn from a fixed set of completions of π_ref: their common settings."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field

from training.methods.base import TrainedMethod
from training.mitigations.seams import Seam


class Offline(TrainedMethod):
    """Passes over a fixed set of examples; the policy's own samples are only measured."""

    refused_controls: ClassVar[dict[str, str]] = {
        "target": "it draws no rollouts, so no controller learns the KL; measure along its epochs instead "
        "and compare at equal KL"
    }
    epochs: float = Field(1.0, gt=0)
    """Passes over the examples."""
    batch_size: int = Field(64, ge=1, strict=True)
    """Examples per optimiser step."""

    @property
    @abstractmethod
    def examples(self) -> int:
        """Examples of one epoch."""

    @property
    def steps(self) -> int:
        """Optimiser steps at most."""
        return max(1, math.ceil(self.epochs * self.examples / self.batch_size))

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {
            "rollouts": "learns from samples of π_ref and draws none of its own",
            "control": "draws no rollouts whose KL could be followed",
        }

    @property
    def examples_per_step(self) -> int:
        return self.batch_size


class Preferences(Offline):
    """Learns from pairs of completions, one of each preferred."""

    beta: float = Field(0.1, gt=0)
    """Coefficient of the implicit reward β·log(π/π_ref); at its optimum, the price of KL in s.d. of the
    proxy."""
    labels: Literal["proxy", "annotator"] = "proxy"
    """Who prefers: the proxy, with the Bradley–Terry probability of its standardised rewards, on fresh pairs
    of π_ref; or the annotator: then the pairs are the very ones that the proxy was trained on, and no proxy
    is asked."""
    pairs: int = Field(4000, ge=2, strict=True)
    """Pairs of completions in an epoch; with the annotator's labels, at most as many as there are."""

    @property
    def reads_annotator(self) -> bool:
        return self.labels == "annotator"

    @property
    def lacks(self) -> Mapping[Seam, str]:
        if not self.reads_annotator:
            return super().lacks
        unasked: tuple[Seam, ...] = ("value", "order", "screen", "proxy")
        return {**super().lacks, **dict.fromkeys(unasked, "with labels = annotator never asks the proxy")}

    @property
    def examples(self) -> int:
        return self.pairs

    def against(self, pairs: int) -> Self:
        """With the annotator's labels an epoch is one pass over the pairs that there are."""
        return self.model_copy(update={"pairs": min(self.pairs, pairs)}) if self.reads_annotator else self
