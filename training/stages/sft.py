"""Supervised fine-tuning: π_ref and the backbones of the reward models, through trl.SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reward_models import trl_arguments
from reward_models.backbone import AnyModel, Sft
from training.stages.task import Task

if TYPE_CHECKING:
    from reward_models.callbacks import Report
    from training.worlds.built_world import BuiltWorld


def train(
    out: Path, *, model: AnyModel, sft: Sft, world: BuiltWorld, init_seed: int, data_seed: int, report: Report
) -> None:
    """Fine-tune `model` on the demonstrations and save it with its tokenizer under `out`/model.

    Args:
        out: empty directory of the artefact.
        init_seed: stream of a from-scratch model's weights.
        data_seed: stream of the data order.
        report: called with (step, total steps, metrics) for live progress.

    Raises:
        Diverged: a loss, or what the last step left, is not finite; nothing is saved.
    """
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    from reward_models.callbacks import StepCallback, require_sound

    tokenizer = world.tokenizer()
    network = model.build(tokenizer, world.max_length, init_seed)
    rows = world.demonstrations()
    prompts = tokenizer(rows["prompt"].tolist())["input_ids"]
    completions = tokenizer(rows["completion"].tolist())["input_ids"]
    eos = tokenizer.eos_token_id
    # Ids are given as they will be sampled and scored: no text is joined and re-tokenised, EOS is learnt.
    dataset = Dataset.from_dict(
        {
            "input_ids": [p + c + [eos] for p, c in zip(prompts, completions, strict=True)],
            "completion_mask": [
                [0] * len(p) + [1] * (len(c) + 1) for p, c in zip(prompts, completions, strict=True)
            ],
        }
    )
    arguments = {
        **trl_arguments.common(data_seed),
        "output_dir": str(out / "trainer"),
        "max_steps": sft.steps,
        "per_device_train_batch_size": trl_arguments.micro_batch(sft.batch_size, sft.trainer),
        "learning_rate": sft.learning_rate,
        "warmup_steps": max(1, sft.steps // 20),
        "lr_scheduler_type": "linear",
        "max_length": None,
        "completion_only_loss": True,
        # Facts are learnt twice as fast from scratch as with 0.999 and decay. (Grouping batches by length
        # would save a third of the time, and was found to cost a fifth of the facts.)
        "adam_beta2": 0.95,
        "weight_decay": 0.0,
        **sft.trainer,
    }
    trainer = SFTTrainer(
        model=network,
        args=SFTConfig(**arguments),
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[StepCallback("Supervised fine-tuning", report)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    require_sound("Supervised fine-tuning", trainer.state.global_step, network)
    network.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")


def fine_tune(task: Task) -> None:
    """Fine-tune π_ref, or a reward model's backbone, on the demonstrations."""
    train(
        task.out,
        model=task.component(AnyModel, "model"),
        sft=task.component(Sft, "sft"),
        world=task.world,
        init_seed=task.stream("init"),
        data_seed=task.stream("demonstrations"),
        report=task.journal,
    )
