"""REINFORCE leave-one-out through trl.RLOOTrainer: the exact gradient of E[R] − β·KL(π‖π_ref) per sequence.

Ahmadian et al. 2024 (arXiv 2402.14740). With one optimiser step per rollout, no advantage normalisation and
the k1 log-ratio summed over the sequence inside the reward, the objective stays fixed while β does.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from training.methods.on_policy import OnPolicy


class Rloo(OnPolicy):
    """REINFORCE with a leave-one-out baseline; the KL penalty is part of the reward (the base method)."""

    type: Literal["rloo"] = "rloo"
    implementation: ClassVar[str] = "training.methods.trainers.rloo:train"
    trl_config: ClassVar[str] = "RLOOConfig"
