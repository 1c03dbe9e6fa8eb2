"""Gold as somebody else's reward model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from reward_models.component import Location
from reward_models.gold.base import Completions, Gold


class Pretrained(Gold):
    """A sequence-classification reward model from a local folder or a Hugging Face model id."""

    type: Literal["pretrained"] = "pretrained"
    path: Location = Field(min_length=1)
    """Local folder or model id; must have one label and its own tokenizer."""
    revision: str | None = None
    """Branch, tag or commit of a model id."""

    def check(self) -> None:
        """Read its configuration; raises UserError unless it is a reward model."""
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
