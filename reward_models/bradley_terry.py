"""Reward models fitted to preferences by maximum likelihood (Bradley–Terry), through trl.RewardTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from reward_models import trl_arguments
from reward_models.component import Component

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from reward_models.callbacks import Report

Ids = list[int]


class Fit(Component):
    """How a reward model is fitted to its labelled pairs."""

    epochs: float = Field(2.0, gt=0)
    """Passes over the pairs."""
    batch_size: int = Field(64, ge=1, strict=True)
    """Pairs per optimiser step."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak of a linear schedule."""
    centre: float = Field(0.01, ge=0)
    """Coefficient of (r⁺ + r⁻)², which fixes the constant that Bradley–Terry leaves free."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of trl.RewardConfig under TRL's own names."""

    @field_validator("trainer")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        trl_arguments.check(value, "RewardConfig")
        return value

    @model_validator(mode="after")
    def _batch_splits(self) -> Fit:
        trl_arguments.micro_batch(self.batch_size, self.trainer)
        return self


def train(
    out: Path,
    *,
    backbone: Path,
    chosen: Sequence[Ids],
    rejected: Sequence[Ids],
    fit: Fit,
    seed: int,
    report: Report,
) -> None:
    """Fit a reward model to labelled pairs and save it under `out`/model.

    Args:
        backbone: folder of a causal language model; its head is replaced by a fresh scalar one.
        chosen, rejected: prompt + completion token ids of each pair, EOS included where it was emitted.
        seed: stream of the head's initialisation and of the data order.
        report: called with (step, total steps, metrics).

    Raises:
        Diverged: a loss, or what the last step left, is not finite; nothing is saved.
    """
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback
    from trl import RewardConfig, RewardTrainer

    from reward_models.callbacks import StepCallback, require_sound

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(backbone, trust_remote_code=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            # A small head, whatever its backbone began with: what is paid for is then learnt, not drawn.
            backbone,
            num_labels=1,
            initializer_range=0.02,
            trust_remote_code=False,
            dtype=torch.float32,
        )
    # Pooling takes the last token that is not padding, so padding must not be EOS.
    model.config.pad_token_id = tokenizer.pad_token_id
    # Token ids are given as sampled: TRL then neither re-tokenises nor drops or appends EOS.
    dataset = Dataset.from_dict({"chosen_ids": list(chosen), "rejected_ids": list(rejected)})
    arguments = {
        **trl_arguments.common(seed),
        "output_dir": str(out / "trainer"),
        "num_train_epochs": fit.epochs,
        "per_device_train_batch_size": trl_arguments.micro_batch(fit.batch_size, fit.trainer),
        "learning_rate": fit.learning_rate,
        "lr_scheduler_type": "linear",
        # From small from-scratch backbones, right and wrong facts are told apart much sooner than with 0.999.
        "adam_beta2": 0.95,
        "center_rewards_coefficient": fit.centre or None,
        "max_length": None,
        "disable_dropout": True,
        **fit.trainer,
    }
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**arguments),
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[StepCallback("Reward-model training", report)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    require_sound("Reward-model training", trainer.state.global_step, model)
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
