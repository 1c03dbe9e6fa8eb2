"""What our trainers are set to in the end, and what TRL does with data given as ids.

Each test here fails when an upgrade of TRL changes what we rely on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_worlds import opened
from rollouts import METHODS, Silent, job, make_home
from tiny import EOS, PAD
from transformers import GPT2Config, GPT2LMHeadModel, Trainer
from trl import RewardConfig, RLOOConfig, SFTConfig

from reward_models import bradley_terry
from reward_models.backbone import Scratch
from training.stages import sft


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


# --- effective arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("config", [SFTConfig, RewardConfig, RLOOConfig])
def test_trls_defaults_are_what_we_override(config: type, tmp_path: Path) -> None:
    """If these change, `trl_arguments.common` may be closing traps that are no longer there."""
    args = config(output_dir=str(tmp_path), use_cpu=True)
    assert args.bf16 and args.gradient_checkpointing and args.logging_nan_inf_filter


@pytest.fixture(scope="module")
def trainers(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The trainers that our stages build: SFT of a scratch model, a reward model with dropout, every
    method's."""
    out = tmp_path_factory.mktemp("trainers")
    built: dict[str, Any] = {}
    world = opened(home / "world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train", lambda self, **_: built.setdefault(type(self).__name__, self))
        for name, method in METHODS.items():
            method.train(job(home, out / name))
        sft.train(
            out / "sft", model=Scratch(hidden_size=16, layers=1, heads=2), sft=sft.Sft(steps=2), world=world,
            init_seed=0, data_seed=0, report=Silent(),
        )  # fmt: skip
        config = GPT2Config(
            vocab_size=len(world.tokenizer()), n_embd=16, n_layer=1, n_head=2, resid_pdrop=0.5,
            attn_pdrop=0.5, embd_pdrop=0.5, pad_token_id=PAD, eos_token_id=EOS,
        )  # fmt: skip
        GPT2LMHeadModel(config).save_pretrained(out / "dropout")
        world.tokenizer().save_pretrained(out / "dropout")
        bradley_terry.train(
            out / "rm", backbone=out / "dropout", chosen=[[5, 6, EOS], [7]], rejected=[[8], [9, EOS]],
            fit=bradley_terry.Fit(), seed=0, report=Silent(),
        )  # fmt: skip
    return built


TRAINERS = (
    *("SFTTrainer", "RewardTrainer", "RlooKLTrainer", "GrpoKLTrainer", "PpoTrainer", "OnlineDpoKLTrainer"),
    *("TokenDpoTrainer", "TokenKtoTrainer", "ResumableSftTrainer"),
)


def test_no_trainer_was_forgotten(trainers: dict[str, Any]) -> None:
    assert set(trainers) == set(TRAINERS)


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_runs_in_fp32_without_checkpointing_and_hides_nothing(
    name: str, trainers: dict[str, Any]
) -> None:
    trainer = trainers[name]
    args = trainer.args
    assert not (args.bf16 or args.fp16 or args.gradient_checkpointing)
    assert not args.logging_nan_inf_filter and args.logging_steps == 1
    assert args.report_to in ([], ["none"], "none")
    assert trainer.accelerator.mixed_precision == "no"
    assert all(weight.dtype == torch.float32 for weight in trainer.model.parameters())
    assert not trainer.model.is_gradient_checkpointing


@pytest.mark.parametrize("name", TRAINERS)
def test_no_network_drops_anything_out(name: str, trainers: dict[str, Any]) -> None:
    network = trainers[name].model
    assert all(part.p == 0 for part in network.modules() if isinstance(part, torch.nn.Dropout))
    assert getattr(network.config, "attention_dropout", 0.0) == 0.0
    ids = torch.tensor([[5, 6, 7]])
    training = network.training
    network.train()
    with torch.no_grad():
        first, second = (network(input_ids=ids).logits for _ in range(2))
    network.train(training)
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["RlooKLTrainer", "GrpoKLTrainer", "PpoTrainer", "OnlineDpoKLTrainer"])
def test_rollouts_are_sampled_where_kl_is_defined(name: str, trainers: dict[str, Any]) -> None:
    config = trainers[name].generation_config
    assert (config.temperature, config.top_p, config.top_k, config.min_p) == (1.0, 1.0, 0, None)
    assert config.repetition_penalty in (1.0, None) and config.do_sample


def test_the_objective_of_policy_gradients_is_not_rescaled(trainers: dict[str, Any]) -> None:
    rloo, grpo, ppo = (trainers[name].args for name in ("RlooKLTrainer", "GrpoKLTrainer", "PpoTrainer"))
    assert rloo.num_iterations == grpo.num_iterations == 1 and not rloo.normalize_advantages
    assert not any(args.mask_truncated_completions for args in (rloo, grpo, ppo))
    assert all(args.scale_rewards == "none" and args.loss_type == "dr_grpo" for args in (grpo, ppo))


# --- data given as ids ------------------------------------------------------------------------------


def test_sft_learns_the_completion_and_its_end_from_the_ids_as_given(
    home: Path, trainers: dict[str, Any]
) -> None:
    """No text is joined or re-tokenised, nothing appended, and only completion tokens bear a loss."""
    world, trainer = opened(home / "world"), trainers["SFTTrainer"]
    demonstrations, tokenizer = world.demonstrations(), world.tokenizer()
    for index in (0, 57):
        prompt, completion = (
            tokenizer(demonstrations[column][index])["input_ids"] for column in ("prompt", "completion")
        )
        batch = trainer.data_collator([trainer.train_dataset[index]])
        assert batch["input_ids"][0].tolist() == [*prompt, *completion, EOS]
        assert batch["labels"][0].tolist() == [-100] * len(prompt) + [*completion, EOS]


def test_sft_neither_learns_nor_reads_padding(trainers: dict[str, Any]) -> None:
    trainer = trainers["SFTTrainer"]
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(20)])
    padding = batch["attention_mask"] == 0
    assert padding.any() and (batch["labels"][padding] == -100).all()
    assert ((batch["labels"] == EOS).sum(1) == 1).all()


def test_reward_training_keeps_ids_as_given(trainers: dict[str, Any]) -> None:
    """EOS is neither added where a completion was cut off nor taken away where it ended."""
    trainer = trainers["RewardTrainer"]
    rows = trainer.train_dataset
    assert [rows[i]["chosen_ids"] for i in range(2)] == [[5, 6, EOS], [7]]
    assert [rows[i]["rejected_ids"] for i in range(2)] == [[8], [9, EOS]]
    batch = trainer.data_collator([rows[0], rows[1]])
    lengths = batch["attention_mask"].sum(1).tolist()
    kept = [row[:n].tolist() for row, n in zip(batch["input_ids"], lengths, strict=True)]
    assert kept == [[5, 6, EOS], [7], [8], [9, EOS]], "padded on the right"
