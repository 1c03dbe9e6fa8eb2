"""Points: the evaluation prompts sampled while a policy trains, left on disk as they are made.

Measuring happens in the worker, with proxies out of sight and gold out of reach; it draws from its own
stream and leaves the global random state alone, so trained weights do not depend on it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.records import contracts
from training.errors import Diverged
from training.mitigations.base import Shaped
from training.sampling import sample
from training.store.atomic import replacing
from training.worlds.built_world import BuiltWorld

READ = ("neutral", "wrong")
"""Conditions whose hidden states are kept: what the policy knows, asked plainly and under a wrong belief."""


def point_name(step: int) -> str:
    """Directory name of a point."""
    return f"{step:06d}"


def weights_file(run: Path, step: int) -> Path:
    """Where a policy's weights at `step` are kept, in the folder of its run."""
    return run / "weights" / f"{point_name(step)}.safetensors"


class Observer:
    """Measures points of one policy run."""

    def __init__(
        self,
        out: Path,
        world: BuiltWorld,
        reference: PreTrainedModel,
        *,
        seed: int,
        batch_size: int,
        keep_weights: bool = False,
        hidden: bool = False,
        reward: Callable[[pd.DataFrame, pd.DataFrame, pd.DataFrame], Shaped] | None = None,
    ) -> None:
        """`reward` values a point's samples as optimisation does, from them, their parse and the items."""
        self.out, self.world, self.reference = out, world, reference
        self.seed, self.batch_size, self.keep_weights, self.hidden = seed, batch_size, keep_weights, hidden
        self.items, self.reward = world.prompts("eval"), reward

    def point(self, step: int, policy: PreTrainedModel) -> None:
        """Sample and publish the point at `step`, unless an earlier attempt at this run already did.

        Raises:
            Diverged: the KL is not finite.
        """
        folder = self.out / "points" / point_name(step)
        if folder.exists():
            return
        samples = self.sample(policy, f"at step {step}")
        states = self.states(policy) if self.hidden else None
        if self.keep_weights and step:  # step 0 is π_ref
            _keep(policy, weights_file(self.out, step))
        # Last: where there is a point, nothing of it is missing.
        self.publish(folder, samples, states)

    def sample(self, policy: PreTrainedModel, where: str) -> pd.DataFrame:
        """The evaluation prompts as `policy` answers them: the same random numbers for every policy.

        Raises:
            Diverged: the KL is not finite; `where` says which policy it was.
        """
        with _reading(policy):
            samples = sample.draw(
                policy,
                self.reference,
                self.world.tokenizer(),
                self.items,
                samples=1,
                max_tokens=self.world.max_completion_tokens,
                seed=self.seed,
                batch_size=self.batch_size,
            )
        if not math.isfinite(samples["kl"].sum()):
            raise Diverged(f"the KL {where} is not a finite number: the policy's weights have diverged")
        return samples

    def states(self, policy: PreTrainedModel) -> pd.DataFrame:
        """`hidden_states` of the prompts that the truth probe reads."""
        items = self.items[self.items["condition"].isin(READ)]
        with _reading(policy):
            opening = self.world.world.answer_opening
            return hidden_states(policy, self.world.tokenizer(), items, self.batch_size, opening)

    def publish(self, folder: Path, samples: pd.DataFrame, states: pd.DataFrame | None = None) -> None:
        """Make a point of `samples`, their parse, hidden states where they are kept, and the reward that was
        optimised where one was."""
        outcomes = self.world.outcomes(samples, self.items)
        rewards = self.reward(samples, outcomes, self.items).reward if self.reward else None
        publish(folder, samples, outcomes, states, rewards)


@torch.inference_mode()
def hidden_states(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: pd.DataFrame,
    batch_size: int,
    opening: str = "",
) -> pd.DataFrame:
    """What the policy's last layer holds at the last token of each prompt and the world's answer opening,
    where a value would come next: a table of the records' `hidden` kind, float32.

    It is what the output layer reads (after the last norm). Prompts are padded on the right, so no padding
    stands before a token or shifts its position.
    """
    states = []
    for start in range(0, len(items), batch_size):
        asked = items["prompt"].iloc[start : start + batch_size]
        prompts = [f"{prompt} {opening}".rstrip() for prompt in asked]
        inputs = tokenizer(prompts, padding=True, padding_side="right", return_tensors="pt").to(policy.device)
        output = policy.base_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        last = inputs["attention_mask"].sum(1) - 1
        rows = torch.arange(len(last), device=last.device)
        states.append(output.last_hidden_state[rows, last].float().cpu().numpy())
    return pd.DataFrame({"item_id": items["item_id"].to_numpy(), "state": list(np.concatenate(states))})


def _keep(policy: PreTrainedModel, file: Path) -> None:
    """Write weights, whole or not at all."""
    with replacing(file) as temporary:
        save_model(policy, str(temporary))


@contextlib.contextmanager
def _reading(policy: PreTrainedModel) -> Iterator[None]:
    """Without dropout and in full precision, and afterwards as before."""
    training = policy.training
    policy.eval()
    try:
        with _full_precision(policy):
            yield
    finally:
        policy.train(training)


@contextlib.contextmanager
def _full_precision(policy: PreTrainedModel) -> Iterator[None]:
    """Take away the autocast that a trainer with bf16 wraps around `forward`: π_ref is read in fp32, and KL
    must not measure the difference between two number formats."""
    forward, original = policy.forward, getattr(policy, "_original_forward", None)
    if original:
        policy.forward = original
    try:
        yield
    finally:
        if original:
            policy.forward = forward


def publish(
    folder: Path,
    samples: pd.DataFrame,
    outcomes: pd.DataFrame,
    hidden: pd.DataFrame | None = None,
    rewards: np.ndarray | None = None,
) -> None:
    """Make a point appear at once, complete or not at all.

    Args:
        hidden: a table of the records' `hidden` kind.
        rewards: what was optimised, of each sample: (B,).

    Raises:
        Diverged: a reward is not finite.
    """
    staging = folder.with_name(f".{folder.name}")
    contracts.write_table(staging / "samples.parquet", samples, "samples")
    contracts.write_table(staging / "outcomes.parquet", outcomes, "outcomes")
    if hidden is not None:
        contracts.write_table(staging / "hidden.parquet", hidden, "hidden")
    if rewards is not None:
        if not np.isfinite(rewards).all():
            raise Diverged(f"the reward that is optimised is not a finite number at point {folder.name}")
        table = samples[["item_id", "sample_id"]].assign(scorer=contracts.REWARD, value=rewards)
        contracts.write_table(staging / "rewards.parquet", table, "rewards")
    staging.rename(folder)
