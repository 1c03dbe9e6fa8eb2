"""Whether and where an experiment is mirrored to W&B."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reward_models.component import Component


class Tracking(Component):
    """Where the live view of an experiment goes. No part of its identity."""

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    """`auto` is `online` if an API key is configured, else `offline`. WANDB_MODE=offline or disabled wins."""
    project: str = Field("overopt", min_length=1)
    """W&B project."""
    entity: str | None = None
    """W&B user or team; your default one if absent."""
    tags: tuple[str, ...] = ()
    """Tags of every run."""
