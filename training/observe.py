"""Points: the evaluation prompts sampled while a policy trains, left on disk as they are made.

Measuring happens in the worker, with proxies out of sight and gold out of reach; it draws from its own
stream and leaves the global random state alone, so trained weights do not depend on it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel

from analysis import records
from training import sample
from training.errors import Diverged
from training.worlds.artefact import BuiltWorld


def point_name(step: int) -> str:
    """Directory name of a point."""
    return f"{step:06d}"


class Observer:
    """Measures points of one policy run."""

    def __init__(
        self, out: Path, world: BuiltWorld, reference: PreTrainedModel, *, seed: int, batch_size: int
    ) -> None:
        self.out, self.world, self.reference = out / "points", world, reference
        self.seed, self.batch_size = seed, batch_size
        self.items = world.prompts("eval")

    def point(self, step: int, policy: PreTrainedModel) -> None:
        """Sample and publish the point at `step`, unless an earlier attempt at this run already did.

        Raises:
            Diverged: the KL is not finite.
        """
        folder = self.out / point_name(step)
        if folder.exists():
            return
        training = policy.training
        policy.eval()
        with _full_precision(policy):
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
        policy.train(training)
        if not math.isfinite(samples["kl"].sum()):
            raise Diverged(
                f"the KL at step {step} is not a finite number: the policy's weights have diverged"
            )
        publish(folder, samples, self.world.outcomes(samples, self.items))


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


def publish(folder: Path, samples: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    """Make a point appear at once, complete or not at all."""
    staging = folder.with_name(f".{folder.name}")
    records.write_table(staging / "samples.parquet", samples, "samples")
    records.write_table(staging / "outcomes.parquet", outcomes, "outcomes")
    staging.rename(folder)
