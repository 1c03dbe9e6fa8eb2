"""A reference policy and a proxy in the enumerable world, where what training must reach is known exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drawn_worlds import drawn, save
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedModel

from analysis.pool import exact
from analysis.pool.exact import Floats
from reward_models.backbone import Scratch, Sft
from reward_models.reward import RewardModel
from training.exact.enumeration import Enumeration
from training.methods import kl_control
from training.methods.job import PolicyJob
from training.sampling.sample import load_policy
from training.stages import sft
from training.worlds import EnumerableWorld

WORLD = EnumerableWorld(colours=2)
# One layer represents them as well, but hardly learns that the prompt matters.
NETWORK = Scratch(hidden_size=32, layers=2, heads=2)
"""Many more parameters than the world has probabilities: any policy can be represented."""
FINE_TUNING = Sft(steps=100, batch_size=64, learning_rate=1e-2)


class Silent:
    """A journal that keeps nothing."""

    def keep_until(self, step: int) -> None: ...
    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class Laboratory:
    """All that is exact about one world, one π_ref and one proxy; arrays are of shape (prompts, C)."""

    home: Path
    enumeration: Enumeration
    log_reference: Floats
    reward: Floats
    """What the proxy gives, in s.d. on π_ref: the scale that a method's β refers to."""
    oracle: Floats

    @classmethod
    def build(cls, home: Path) -> Laboratory:
        """Fine-tune π_ref on the demonstrations; the proxy is a random network, with views on it all."""
        world = save(WORLD, drawn(WORLD, seed=0, eval_items=2, pool_prompts=2), home / "world")
        enumeration = Enumeration.of(world)
        (home / "reference").mkdir()
        settings: dict[str, Any] = {"model": NETWORK, "sft": FINE_TUNING, "world": world}
        sft.train(home / "reference", **settings, init_seed=0, data_seed=0, report=Silent())
        log_reference = enumeration.log_prob(load_policy(home / "reference" / "model"))
        proxy = save_proxy(home / "proxy" / "model", enumeration, log_reference)
        return cls(home, enumeration, log_reference, enumeration.reward(proxy), enumeration.oracle())

    @property
    def reference(self) -> Path:
        return self.home / "reference" / "model"

    def optimum(self, beta: float) -> Floats:
        """log π*: what a method with this KL coefficient must reach."""
        return exact.tilted(self.log_reference, self.reward, beta)

    def trained(self, method: Any, out: Path) -> Floats:
        """log-probabilities of all completions after training by `method`, from nothing but its job."""
        out.mkdir(parents=True)
        job = PolicyJob(
            out=out,
            world=self.enumeration.world,
            reference=self.reference,
            proxy=partial(RewardModel.load, self.home / "proxy" / "model"),
            labels=None,
            mitigation=None,
            control=kl_control.Penalty(points=1),
            budget=None,
            steps=method.steps,
            seed=0,
            observe_seed=0,
            batch_size=4096,
            measure=False,
            journal=Silent(),  # type: ignore[arg-type]
        )
        method.train(job)
        return self.enumeration.log_prob(load_policy(out / "model"))


def save_proxy(folder: Path, enumeration: Enumeration, log_reference: Floats) -> RewardModel:
    """A reward model with random weights, with its exact mean and s.d. on π_ref beside it as its scale.

    This seed's optimum lies within what π_ref says often enough to be explored in a short training, and
    spreads over enough replies for truncated sampling to show.
    """
    torch.manual_seed(8)
    shape: dict[str, Any] = {
        "vocab_size": WORLD.vocabulary,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "eos_token_id": enumeration.tree.eos,
        "bos_token_id": None,
        "num_labels": 1,
    }
    LlamaForSequenceClassification(LlamaConfig(**shape)).save_pretrained(folder)
    raw = enumeration.reward(RewardModel.load(folder))
    mean = exact.expected(log_reference, raw).mean()
    sd = np.sqrt(exact.expected(log_reference, (raw - mean) ** 2).mean())
    (folder.parent / "scale.json").write_text(json.dumps({"mean": float(mean), "sd": float(sd)}))
    return RewardModel.load(folder)


def unlike(policy: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The same network with random weights that make it decided, in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.35, generator=generator)
    return policy
