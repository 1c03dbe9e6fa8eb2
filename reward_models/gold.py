"""Gold: the held-out reward model that stands in for the truth, and is never optimised against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from reward_models.backbone import AnyModel, Scratch, Sft
from reward_models.bradley_terry import Fit
from reward_models.component import Component


@dataclass(frozen=True)
class Completions:
    """Completions to be valued: parallel sequences, one entry each."""

    prompts: Sequence[str]
    texts: Sequence[str]
    prompt_ids: Sequence[Sequence[int]]
    ids: Sequence[Sequence[int]]
    """Completion tokens, EOS included where it was emitted."""
    oracle: np.ndarray | None
    """True values, where the world has an oracle."""

    def sequences(self) -> list[list[int]]:
        """Prompt and completion ids joined as they were sampled."""
        return [[*p, *c] for p, c in zip(self.prompt_ids, self.ids, strict=True)]


class Trained(Component):
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

    def check(self) -> None:
        """Nothing to look at before training."""

    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        """Raw gold values, shape (len(completions),); `folder` is gold's artefact."""
        from reward_models.reward import load_cached

        return load_cached(folder / "model").score(completions.sequences(), batch_size)


class Pretrained(Component):
    """A sequence-classification reward model from a local folder or a Hugging Face model id."""

    type: Literal["pretrained"] = "pretrained"
    path: str = Field(min_length=1)
    """Local folder or model id; must have one label and its own tokenizer."""
    revision: str | None = None
    """Branch, tag or commit of a model id."""

    def check(self) -> None:
        """Read its configuration before anything is trained; raises UserError unless it is a reward model."""
        from reward_models.reward import check_is_reward_model

        check_is_reward_model(self.path, self.revision)

    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        """Raw gold values of prompt + completion text in the model's own tokens, with EOS as in training."""
        from transformers import AutoTokenizer

        from reward_models.reward import load_cached

        tokenizer = AutoTokenizer.from_pretrained(self.path, revision=self.revision, trust_remote_code=False)
        texts = [p + t for p, t in zip(completions.prompts, completions.texts, strict=True)]
        ids = tokenizer(texts)["input_ids"]
        eos = tokenizer.eos_token_id
        ended = [i if eos is None or i[-1:] == [eos] else [*i, eos] for i in ids]
        return load_cached(self.path, self.revision).score(ended, batch_size)


class Programmatic(Component):
    """The world's oracle itself serves as gold: the control in which gold cannot be Goodharted."""

    type: Literal["programmatic"] = "programmatic"

    def check(self) -> None:
        """Nothing to look at: the config's validation made sure that there is an oracle."""

    def score(self, folder: Path, completions: Completions, batch_size: int) -> np.ndarray:
        """The oracle's own values."""
        assert completions.oracle is not None, "refused at validation: this world has no oracle"
        return completions.oracle


AnyGold = Annotated[Trained | Pretrained | Programmatic, Field(discriminator="type")]
