"""How a run spends KL: along a path, under a fixed penalty, or held at a target."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from reward_models.component import Component

PositiveNats = Annotated[float, Field(gt=0)]


class PathControl(Component):
    """Cross a grid of KL values with next to no penalty and stop at the last: one run traces a curve."""

    type: Literal["path"] = "path"
    kl: tuple[PositiveNats, ...] = (0.02, 0.1, 0.25, 0.5, 0.9, 1.4, 2.0, 2.8, 4.0, 5.5, 7.5, 10.0)
    """Grid in nats per sequence, ascending; a point is measured at each crossing."""

    @model_validator(mode="after")
    def _ascending(self) -> PathControl:
        if not self.kl or any(b <= a for a, b in zip(self.kl, self.kl[1:], strict=False)):
            raise ValueError(f"kl must be a non-empty, strictly ascending list of nats (got {list(self.kl)})")
        return self

    def allotted(self) -> tuple[float | None, ...]:
        """One run, without a budget."""
        return (None,)

    def allotting(self, budget: float | None) -> Self:
        """The control of one run."""
        return self


class Penalty(Component):
    """Keep `policy.beta` as it is for all steps; points are spread evenly over them."""

    type: Literal["penalty"] = "penalty"
    points: int = Field(10, ge=1, strict=True)
    """Number of points after step 0."""

    def allotted(self) -> tuple[float | None, ...]:
        """One run, without a budget."""
        return (None,)

    def allotting(self, budget: float | None) -> Self:
        """The control of one run."""
        return self


class Target(Component):
    """Hold the measured KL at each budget: one run per budget, β moved by a controller."""

    type: Literal["target"] = "target"
    budgets: tuple[PositiveNats, ...] = Field((0.5, 1.0, 2.0, 4.0), min_length=1)
    """KL budgets in nats per sequence, one run each."""
    points: int = Field(6, ge=1, strict=True)
    """Number of points after step 0, spread evenly over the steps."""
    initial_beta: float = Field(0.1, gt=0)
    """β before the first correction."""
    ramp: float = Field(0.5, ge=0, le=1)
    """Share of the steps over which the set-point rises, linearly in √KL, to the budget."""
    proportional: float = Field(2.0, gt=0)
    """Gain on log(KL / set-point)."""
    integral: float = Field(0.1, ge=0)
    """Gain on the running sum of log(KL / set-point)."""

    def allotted(self) -> tuple[float | None, ...]:
        """The budgets in nats, one run each."""
        return self.budgets

    def allotting(self, budget: float | None) -> Self:
        """The control of one run: it knows of no other budgets, so a further one changes no other run."""
        return self if budget is None else self.model_copy(update={"budgets": (budget,)})


AnyControl = Annotated[PathControl | Penalty | Target, Field(discriminator="type")]


class Schedule:
    """Decides after which steps a point is measured, and when a run ends.

    A path is steered by the rollouts' own KL, not by what points measure: measuring must not change training.
    Where training draws no rollouts, a path's points are as many as its grid has values, spread over the
    steps.
    """

    def __init__(self, control: AnyControl, steps: int) -> None:
        self.control, self.steps = control, steps
        self.crossed = 0

    def after(self, step: int, kl: float | None) -> tuple[bool, bool]:
        """Whether a point is due after `step`, and whether the run ends.

        Args:
            kl: of the step's rollout, in nats; None without rollouts.
        """
        last = step >= self.steps
        if not isinstance(self.control, PathControl) or kl is None:
            points = len(self.control.kl) if isinstance(self.control, PathControl) else self.control.points
            every = self.steps / points
            return last or int(step / every) > int((step - 1) / every), last
        before = self.crossed
        self.crossed = max(before, sum(kl >= value for value in self.control.kl))
        last |= self.crossed == len(self.control.kl)
        return last or self.crossed > before, last

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep to continue exactly."""
        return {"crossed": self.crossed}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.crossed = state["crossed"]


class KLController:
    """Proportional-integral control of log β from the KL of each rollout batch.

    β acts slowly (the policy has to re-learn), so a pure integrator winds up. The set-point therefore
    rises linearly in √KL, the way an unpenalised run spends KL, and the integral is clamped.
    """

    def __init__(self, control: Target, budget: float, steps: int) -> None:
        self.control, self.budget = control, budget
        self.ramp_steps = max(1, round(control.ramp * steps))
        self.step = 0
        self.smoothed: float | None = None
        self.sum = 0.0

    def set_point(self) -> float:
        """Wanted KL (nats) at the current step."""
        return self.budget * min(1.0, (self.step + 1) / self.ramp_steps) ** 2

    def update(self, kl: float) -> float:
        """The β for the next rollout, given this rollout's KL in nats per sequence."""
        self.smoothed = kl if self.smoothed is None else 0.5 * self.smoothed + 0.5 * kl
        floor = 0.02 * self.budget  # early on the estimate can be zero or negative
        error = math.log(max(self.smoothed, floor) / max(self.set_point(), floor))
        self.step += 1
        self.sum = min(30.0, max(-30.0, self.sum + error))
        log_ratio = self.control.proportional * error + self.control.integral * self.sum
        return self.control.initial_beta * math.exp(min(8.0, max(-8.0, log_ratio)))

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep to continue exactly."""
        return {"step": self.step, "smoothed": self.smoothed, "sum": self.sum}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.step, self.smoothed, self.sum = state["step"], state["smoothed"], state["sum"]
