"""What a policy's worker is handed: π_ref, one proxy and prompts. There is no field for gold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reward_models.reward import Reward
from training.methods.kl_control import AnyControl
from training.mitigations.base import Mitigation
from training.store.journal import Journal
from training.worlds.built_world import BuiltWorld


@dataclass(frozen=True)
class PolicyJob:
    """One policy to train."""

    out: Path
    """Directory for points, metrics and weights."""
    world: BuiltWorld
    reference: Path
    """Folder of π_ref: the start of training and the origin of KL."""
    proxy: Callable[[], Reward] | None
    """Loads what rewards: any `Reward`. None where the method never asks."""
    labels: Path | None
    """Table of the pairs that the proxy was trained on, for methods that learn from the annotator itself."""
    mitigation: Mitigation | None
    control: AnyControl
    budget: float | None
    """KL budget in nats, where the control has one."""
    steps: int
    """Optimiser steps at most."""
    seed: int
    """Root of this policy's streams."""
    observe_seed: int
    """Stream of the evaluation samples: the same for every policy of an experiment."""
    batch_size: int
    measure: bool
    """Whether points are sampled; trained weights do not depend on it."""
    journal: Journal
    """metrics.jsonl of this run."""
    keep_weights: bool = False
    """Whether the weights are kept at every point that is sampled; trained weights do not depend on it."""
    hidden_states: bool = False
    """Whether points keep hidden states."""
