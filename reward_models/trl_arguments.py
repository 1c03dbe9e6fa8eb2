"""TRL's own arguments, passed through under TRL's own names, and those that the testbed keeps for itself."""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Iterable
from typing import Any

from reward_models.errors import did_you_mean

# Keys that the testbed sets itself, with the key to use instead (or the reason why there is none).
OWNED = {
    "output_dir": "paths.store",
    "max_steps": "`steps` (or `epochs`) of the same section",
    "num_train_epochs": "`epochs` (or `steps`) of the same section",
    "learning_rate": "`learning_rate` of the same section",
    "per_device_train_batch_size": "`batch_size` of the section (RL: `prompts_per_step` x `generations`)",
    "num_generations": "policy.generations",
    "beta": "policy.beta",
    "seed": "the top-level `seed`",
    "data_seed": "the top-level `seed`",
    "max_completion_length": "the world's completion limit",
    "max_length": "the world's prompt and completion limits",
    "report_to": "tracking.mode",
    "run_name": "name",
    "save_strategy": "policy.checkpoint_every",
    "save_steps": "policy.checkpoint_every",
    "save_total_limit": "policy.checkpoint_every",
    "resume_from_checkpoint": "nothing: a killed run is resumed by the same command",
    "eval_strategy": "the run's `control`, which says where points are measured",
    "logging_steps": "nothing: every step is recorded",
    "logging_nan_inf_filter": "nothing: a value that is not finite stops the run",
    "shuffle_dataset": "nothing: prompts are drawn from a named stream",
    "num_iterations": "policy.iterations (ppo; elsewhere one step per rollout keeps the objective exact)",
    "train_sampling_strategy": "nothing: examples are laid out by a named stream",
    "max_new_tokens": "the world's completion limit",
    "missing_eos_penalty": "the annotator, or an oracle that minds",
    "reward_model_path": "the experiment's proxies",
    "precompute_ref_log_probs": "nothing: π_ref is asked as training goes",
    "steps_per_generation": "gradient_accumulation_steps",
    "sync_ref_model": "nothing: π_ref, the origin of KL, stays where it is",
    "generation_kwargs": "nothing: completions are drawn at temperature 1 over the full vocabulary",
    "use_transformers_continuous_batching": "nothing: it may cast the policy's weights to bf16 for good",
    "mask_truncated_completions": "nothing: KL is that of whole sequences, truncated ones included",
    "disable_dropout": "nothing: KL is that of the network without dropout",
    "hub_token": "nothing: tokens are never stored with a run",
    "push_to_hub": "nothing: artefacts stay in paths.store",
}
# KL is defined at the sampling distribution; any other setting makes sampler and log-probabilities disagree.
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}


def check(trainer: dict[str, Any], config_class: str, fields: Iterable[str] = ()) -> None:
    """Refuse pass-through keys that TRL does not know or that the testbed owns.

    Args:
        trainer: the `trainer:` section of a config.
        config_class: TRL's dataclass by its name inside `trl`, for example "RLOOConfig".
        fields: TRL's names of what the section has fields of its own for.

    Raises:
        ValueError: naming every wrong key and what to use instead.
    """
    if not trainer:
        return
    names = {field.name for field in dataclasses.fields(pkgutil.resolve_name(f"trl.{config_class}"))}
    problems = []
    for key, value in trainer.items():
        if key in SAMPLING and key in names:
            if value != SAMPLING[key]:
                problems.append(
                    f"`{key}: {value}` is refused: KL is measured at temperature 1 over the full vocabulary "
                    f"(only {SAMPLING[key]} is possible)"
                )
        elif key in fields:
            problems.append(f"`{key}` has a field of its own in the same section")
        elif key in OWNED:
            problems.append(f"`{key}` is set by the testbed; use {OWNED[key]}")
        elif key not in names:
            problems.append(f"`{key}` is not an argument of trl.{config_class}{did_you_mean(key, names)}")
    if problems:
        raise ValueError("; ".join(problems))


def micro_batch(batch_size: int, trainer: dict[str, Any]) -> int:
    """Examples per backward pass, so that one optimiser step sees `batch_size` of them.

    Raises:
        ValueError: `batch_size` does not split evenly into the accumulated parts.
    """
    parts = trainer.get("gradient_accumulation_steps", 1)
    if batch_size % parts:
        raise ValueError(
            f"batch_size = {batch_size} is not divisible by trainer.gradient_accumulation_steps = {parts}"
        )
    return int(batch_size // parts)


def common(seed: int) -> dict[str, Any]:
    """Settings shared by every TRL trainer, closing the traps of its defaults.

    fp32 without activation checkpointing (TRL's defaults are bf16 with it), no hidden reporting, no
    progress bars, and no filter that hides NaN losses.
    """
    import torch

    return {
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "seed": seed % 2**32,
        "dataloader_pin_memory": False,
    }
