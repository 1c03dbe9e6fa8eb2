"""What may be passed through to TRL, what may not, and what to use instead."""

from __future__ import annotations

import dataclasses
import pkgutil
from typing import Any

import pytest
import trl
from pydantic import ValidationError

from reward_models.backbone import Sft
from reward_models.bradley_terry import Fit
from reward_models.trl_arguments import OWNED, SAMPLING, check
from training.methods import Rloo

ONLINE = "experimental.online_dpo.OnlineDPOConfig"
CONFIGS = ("RLOOConfig", "GRPOConfig", "DPOConfig", "KTOConfig", "SFTConfig", "RewardConfig", ONLINE)


def refusal(trainer: dict[str, Any], config: str = "RLOOConfig") -> str:
    with pytest.raises(ValueError) as error:
        check(trainer, config)
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", 0.7), ("top_p", 0.9), ("top_k", 50), ("min_p", 0.1), ("repetition_penalty", 1.2)],
)
def test_sampling_that_kl_is_not_defined_at_is_refused(key: str, value: float) -> None:
    message = refusal({key: value})
    assert key in message and str(value) in message and "temperature 1" in message
    check({key: SAMPLING[key]}, "RLOOConfig")


@pytest.mark.parametrize(
    "key",
    [
        "generation_kwargs",
        "use_transformers_continuous_batching",
        "sync_ref_model",
        "mask_truncated_completions",
        "disable_dropout",
    ],
)
def test_the_back_doors_to_another_sampler_or_reference_are_shut(key: str) -> None:
    assert f"`{key}` is set by the testbed" in refusal({key: {"temperature": 0.5}})


@pytest.mark.parametrize("key", sorted(OWNED))
def test_a_key_of_the_testbeds_own_names_what_to_use(key: str) -> None:
    assert f"`{key}` is set by the testbed; use {OWNED[key]}" == refusal({key: 1})


def test_what_is_owned_still_exists_in_trl() -> None:
    names = {
        field.name
        for config in CONFIGS
        for field in dataclasses.fields(pkgutil.resolve_name(f"trl.{config}"))
    }
    assert not set(OWNED) - names
    assert not set(SAMPLING) - {field.name for field in dataclasses.fields(trl.RLOOConfig)}


def test_a_misspelt_key_gets_the_nearest_name() -> None:
    message = refusal({"weight_deacy": 0.1})
    assert message == "`weight_deacy` is not an argument of trl.RLOOConfig; did you mean `weight_decay`?"
    assert "did you mean" not in refusal({"zzzz": 1})


def test_all_mistakes_are_told_at_once() -> None:
    message = refusal({"temperature": 2, "seed": 1, "weight_deacy": 0.1})
    assert all(key in message for key in ("temperature", "the top-level `seed`", "weight_decay"))


def test_keys_of_another_trainer_are_unknown() -> None:
    check({"packing": False}, "SFTConfig")
    assert "packing" in refusal({"packing": False}, "RLOOConfig")
    assert "not an argument" in refusal({"temperature": 1.0}, "SFTConfig")


@pytest.mark.parametrize("component", [Rloo, Sft, Fit])
def test_every_section_checks_its_trainer_arguments(component: type) -> None:
    component(trainer={"weight_decay": 0.1, "adam_beta2": 0.99})
    with pytest.raises(ValidationError, match="top-level `seed`"):
        component(trainer={"seed": 3})


@pytest.mark.parametrize("component", [Sft, Fit])
def test_a_batch_that_accumulation_cannot_split_is_refused(component: type) -> None:
    component(batch_size=32, trainer={"gradient_accumulation_steps": 4})
    with pytest.raises(ValidationError, match="batch_size = 30 is not divisible .* = 4"):
        component(batch_size=30, trainer={"gradient_accumulation_steps": 4})
