"""Best-of-n as a policy: n samples of π_ref, of which the proxy's favourite is said; nothing is trained.

Its law is known from the ranks of a pool of π_ref's samples (analysis/best_of_n.py), so each point carries
the KL of that law beside the log-ratio of the completion that was drawn from it. A run's step is its n.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from training.methods.base import Method
from training.methods.kl_control import AnyControl, PathControl, Target
from training.mitigations.seams import Seam


class BestOfN(Method):
    """The proxy's favourite of n samples of π_ref; n is set by the KL to spend."""

    type: Literal["best_of_n"] = "best_of_n"
    implementation: ClassVar[str] = "training.methods.trainers.best_of_n:draw_points"
    refused_controls: ClassVar[dict[str, str]] = {
        "penalty": "it has no β; n alone decides how much KL is spent"
    }
    takes_steps: ClassVar[bool] = False
    samples: int = Field(64, ge=4, strict=True)
    """Samples per prompt from which the law of every n is known; n is at most a quarter of it."""

    @property
    def lacks(self) -> Mapping[Seam, str]:
        return {
            "value": "says the favourite of n samples, however narrowly it is ahead",
            "penalty": "has no price of KL: n alone decides",
            "rollouts": "says what π_ref says",
            "control": "has no price of KL that could be moved: n alone decides",
        }

    @property
    def steps(self) -> int:
        """The largest n that the pool can tell about."""
        return self.samples // 4

    def sizes(self, control: AnyControl, budget: float | None) -> list[int]:
        """Every n to draw at: the smallest whose KL bound reaches each value of a path, or a budget
        (nats)."""
        from analysis.pool.best_of_n import kl_bound

        n = np.arange(2, self.steps + 1)
        wanted: tuple[float | None, ...] = ()
        if isinstance(control, PathControl | Target):
            wanted = control.kl if isinstance(control, PathControl) else (budget,)
        reached = [np.flatnonzero(kl_bound(n) >= kl) for kl in wanted if kl is not None]
        found = {int(n[places[0]]) for places in reached if len(places)}
        return sorted(found | ({self.steps} if any(not len(places) for places in reached) else set()))
