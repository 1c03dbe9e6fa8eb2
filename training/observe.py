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
from safetensors.torch import save_model
from transformers import PreTrainedModel

from analysis import records
from training import sample
from training.durable import replacing
from training.errors import Diverged
from training.worlds.artefact import BuiltWorld


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
    ) -> None:
        self.out, self.world, self.reference = out, world, reference
        self.seed, self.batch_size, self.keep_weights = seed, batch_size, keep_weights
        self.items = world.prompts("eval")

    def point(self, step: int, policy: PreTrainedModel) -> None:
        """Sample and publish the point at `step`, unless an earlier attempt at this run already did.

        Raises:
            Diverged: the KL is not finite.
        """
        folder = self.out / "points" / point_name(step)
        if folder.exists():
            return
        samples = self.sample(policy, f"at step {step}")
        if self.keep_weights and step:  # step 0 is π_ref
            _keep(policy, weights_file(self.out, step))
        # Last: where there is a point, nothing of it is missing.
        self.publish(folder, samples)

    def sample(self, policy: PreTrainedModel, where: str) -> pd.DataFrame:
        """The evaluation prompts as `policy` answers them: the same random numbers for every policy.

        Raises:
            Diverged: the KL is not finite; `where` says which policy it was.
        """
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
            raise Diverged(f"the KL {where} is not a finite number: the policy's weights have diverged")
        return samples

    def publish(self, folder: Path, samples: pd.DataFrame) -> None:
        """Make a point of `samples` and their parse."""
        publish(folder, samples, self.world.outcomes(samples, self.items))


def _keep(policy: PreTrainedModel, file: Path) -> None:
    """Write weights, whole or not at all."""
    with replacing(file) as temporary:
        save_model(policy, str(temporary))


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
