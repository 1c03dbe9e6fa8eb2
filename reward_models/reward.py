"""The scoring contract: how token ids become a reward, the same in training, labelling and measuring.

`Reward` is what a policy may be optimised for; `RewardModel`, one network, is one.

Prompt and completion ids are concatenated as sampled (EOS kept where it was emitted), padded on the right
with a token that is not EOS, and read in eval mode by a network whose head runs in fp32.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from reward_models.calibration import require_scale
from reward_models.errors import UserError, why

Ids = Sequence[int]


class Reward(Protocol):
    """What scores sequences of prompt + completion ids, EOS kept where it was emitted."""

    def score(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """Raw rewards, shape (len(sequences),); equal sequences tie."""

    def standardised(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """The same in standard deviations from the mean over π_ref's samples."""


class RewardModel:
    """A reward model loaded for scoring: a `Reward` made of one network."""

    def __init__(self, network: PreTrainedModel, mean: float = 0.0, sd: float = 1.0) -> None:
        self.network = network.eval().requires_grad_(False)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network.to(self.device)
        self.mean, self.sd = mean, sd
        self.pad = network.config.pad_token_id

    @classmethod
    def load(cls, folder: Path | str, revision: str | None = None) -> RewardModel:
        """Load a reward model from `folder` (or a model id).

        Raises:
            UserError: it is a language model, has several labels, pads with EOS, lacks a trained head, or
                holds a weight that is not finite.
        """
        check_is_reward_model(folder, revision)
        network, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        if info["missing_keys"]:
            raise UserError(
                f"{folder} lacks trained weights for {', '.join(sorted(info['missing_keys']))}: "
                "a random head would be scored. Give the folder of a trained reward model."
            )
        broken = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
        if broken:
            raise UserError(f"{folder} holds weights that are not finite numbers ({', '.join(broken)})")
        scale_file = Path(folder).parent / "scale.json"
        scale = json.loads(scale_file.read_text()) if scale_file.is_file() else {"mean": 0.0, "sd": 1.0}
        return cls(network, scale["mean"], scale["sd"])

    @torch.inference_mode()
    def score(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """Raw rewards, shape (len(sequences),), of prompt + completion ids.

        Each distinct sequence is scored once: small policies repeat themselves, and equal completions are
        to tie. Sequences of like length share a batch; with right padding and a causal network the batch
        does not enter a score beyond floating-point rounding.
        """
        distinct = sorted({tuple(ids) for ids in sequences}, key=lambda ids: (len(ids), ids))
        rewards = [
            reward
            for start in range(0, len(distinct), batch_size)
            for reward in self._score_batch(distinct[start : start + batch_size]).tolist()
        ]
        of = dict(zip(distinct, rewards, strict=True))
        return np.array([of[tuple(ids)] for ids in sequences])

    def _score_batch(self, sequences: Sequence[Ids]) -> np.ndarray:
        width = max(map(len, sequences))
        ids = torch.full((len(sequences), width), self.pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.as_tensor(sequence)
            mask[row, : len(sequence)] = 1
        logits = self.network(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits
        return logits[:, 0].float().cpu().numpy().astype(np.float64)

    def standardised(self, sequences: Sequence[Ids], batch_size: int = 1024) -> np.ndarray:
        """Rewards in standard deviations from the mean on π_ref (the scale written when it was trained)."""
        return (self.score(sequences, batch_size) - self.mean) / self.sd


@lru_cache(maxsize=16)
def load_cached(folder: Path | str, revision: str | None = None) -> RewardModel:
    """`RewardModel.load`, keeping the models of an experiment in memory while its points are scored."""
    return RewardModel.load(folder, revision)


def check_is_reward_model(folder: Path | str, revision: str | None = None) -> None:
    """Look at the configuration alone, before any weights are read.

    Raises:
        UserError: it is no sequence-classification model with one label and a pad token of its own.
    """
    try:
        config = AutoConfig.from_pretrained(folder, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"no model can be read from {folder}: {why(error)}") from None
    architectures = config.architectures or []
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise UserError(
            f"{folder} holds {', '.join(architectures) or 'a model of unknown kind'}, not a reward model: "
            "a sequence-classification model with one label is needed "
            "(a language model would be scored by a random head)"
        )
    if config.num_labels != 1:
        raise UserError(f"{folder} has {config.num_labels} labels; a reward model has exactly one")
    eos = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if config.pad_token_id is None or config.pad_token_id in eos:
        raise UserError(
            f"{folder} has no pad token of its own (pad_token_id={config.pad_token_id}, eos={eos}): "
            "it could not see the end of a completion"
        )


def write_scale(model_folder: Path, rewards: np.ndarray) -> None:
    """Store mean and standard deviation of `rewards`, measured on π_ref, beside the model.

    Raises:
        Diverged: they are not finite, or all alike.
    """
    require_scale("the reward model", rewards)
    scale = {"mean": float(rewards.mean()), "sd": float(rewards.std()), "samples": len(rewards)}
    (model_folder.parent / "scale.json").write_text(json.dumps(scale, allow_nan=False))
