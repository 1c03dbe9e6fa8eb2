"""What every training stage shares: live progress, and a stop at the first value that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import PreTrainedModel, TrainerCallback

from reward_models.errors import Diverged

Report = Callable[[int, int, Mapping[str, float]], None]
"""Called with (step, total steps, metrics)."""


def require_finite(what: str, step: int, metrics: Mapping[str, Any]) -> None:
    """Stop at the first metric that is NaN or infinite.

    Raises:
        Diverged: naming the metric, its value and the step.
    """
    for name, value in metrics.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise Diverged(
                f"{what} stopped at step {step}: {name} is {value}. "
                "A smaller learning_rate, or fp32 where bf16 was asked for, is the usual cure."
            )


@torch.no_grad()
def require_sound(what: str, step: int, network: PreTrainedModel) -> None:
    """Stop if a step has left a network that is not to be used; no metric shows what the last step did.

    Raises:
        Diverged: a weight or an output is not finite.
    """
    token = torch.zeros(1, 1, dtype=torch.long, device=network.device)
    broken = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    if broken or not network(input_ids=token).logits.isfinite().all():
        where = f"weights ({broken[0]})" if broken else "outputs"
        raise Diverged(
            f"{what} stopped at step {step}: the step left {where} that are not finite numbers. "
            "A smaller learning_rate is the usual cure."
        )


class StepCallback(TrainerCallback):
    """Reports every logged step and refuses values that are not finite.

    TRL and Trainer train on through a NaN loss; one step later the weights are NaN as well.
    """

    def __init__(self, what: str, report: Report) -> None:
        self.what, self.report = what, report

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        metrics = {k: float(v) for k, v in (logs or {}).items() if isinstance(v, int | float)}
        require_finite(self.what, state.global_step, metrics)
        self.report(state.global_step, state.max_steps, metrics)
