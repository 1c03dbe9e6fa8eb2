"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with a critic and GAE, over TRL's
GRPO.

TRL 1.13 removed its PPO. What PPO needs beyond GRPO is small: advantages for each token, from a critic, in
place of one per completion, from the group. GRPO's loss is PPO's clipped surrogate already and takes
advantages of shape (B, T), a seam that TRL keeps for subclasses; rollouts, log-probabilities, gradient
accumulation, checkpoints and logging stay TRL's, and the KL meter and controls are those of every other
method. A trainer of our own on accelerate would have to repeat all of that to save one override. The critic
is π_ref's network with a scalar head per token; its loss joins the policy's and its parameters the policy's
optimiser, so TRL's checkpoints carry its optimiser state.

Rewards per token are −β (log π − log π_ref), and the proxy's reward on the last one (Stiennon et al. 2020,
arXiv 2009.01325, §3.4): the same objective as RLOO's, E[R] − β·KL per sequence. Advantages are not whitened,
which would change the exchange rate between reward and KL with every batch.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from training.methods.on_policy import OnPolicy


class Ppo(OnPolicy):
    """Clipped policy gradient with a critic; the KL penalty is part of the reward, token by token."""

    type: Literal["ppo"] = "ppo"
    implementation: ClassVar[str] = "training.methods.trainers.ppo:train"
    trl_config: ClassVar[str] = "GRPOConfig"
    iterations: int = Field(2, ge=1, strict=True)
    """Optimiser steps on each rollout; clipping acts from the second on."""
    critic_learning_rate: float = Field(2e-3, gt=0)
    """AdamW step size of the critic."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """How far credit reaches back without the critic (Schulman et al. 2015, arXiv 1506.02438); 1: all the
    way."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.trainer.get("gradient_accumulation_steps", 1) > 1 and self.iterations > 1:
            found.append("iterations > 1 and trainer.gradient_accumulation_steps > 1 do not go together")
        if self.checkpoint_every % self.iterations:
            found.append(
                f"checkpoint_every = {self.checkpoint_every} is not a multiple of iterations = "
                f"{self.iterations}: a rollout in use is not part of a checkpoint"
            )
        return found
