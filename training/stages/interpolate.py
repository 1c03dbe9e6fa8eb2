"""Policies between a run's kept checkpoints, one at each KL of a grid: the weights are (1 − α)θ_a + αθ_b.

a and b are the neighbouring points between which the path first reaches that KL, π_ref being the first; α is
found by measuring. Networks that share the beginning of their training tend to be joined by a straight line
along which the loss does not rise (Frankle et al. 2020, arXiv 1912.05671), which neighbours on one path do
almost by definition. Interpolating a tuned policy towards its start is known to trade reward for KL smoothly
(Ramé et al. 2024, arXiv 2406.16768; Lin et al. 2024, arXiv 2309.06256, for what is forgotten).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_model
from transformers import PreTrainedModel

from analysis.records.contracts import BETWEEN, SCHEMA, read_table
from training.sampling.points import Observer, point_name, weights_file
from training.sampling.sample import load_policy
from training.stages.task import Task
from training.store.atomic import write_json

TOLERANCE = 0.03
"""How far the KL of a policy may be from the one wanted, as a share of it."""
EVALUATIONS = 12
"""Policies that are measured for one KL before it is given up."""


class Placed(NamedTuple):
    """Where on the line between two checkpoints a policy has the KL wanted."""

    alpha: float
    kl: float
    """As measured, in nats."""


def place(kl_at: Callable[[float], float], wanted: float, ends: tuple[float, float]) -> Placed | None:
    """The α at which the KL is `wanted` (nats), to within `TOLERANCE`; None after `EVALUATIONS` in vain.

    False position on √KL, which grows about linearly in α, with the Illinois rule against one-sided crawling
    (Dowell & Jarratt 1971).

    Args:
        kl_at: measures the KL at an α.
        ends: KL at α = 0, below `wanted`, and at α = 1, not below it.
    """
    root = math.sqrt(wanted)
    low, high = 0.0, 1.0
    below, above = (math.sqrt(max(kl, 0.0)) - root for kl in ends)
    last = 0
    for _ in range(EVALUATIONS):
        alpha = (low * above - high * below) / (above - below)
        kl = kl_at(alpha)
        if abs(kl / wanted - 1) <= TOLERANCE:
            return Placed(alpha, kl)
        side = 1 if kl > wanted else -1
        gap = math.sqrt(max(kl, 0.0)) - root
        if side > 0:
            high, above = alpha, gap
            below /= 2 if side == last else 1
        else:
            low, below = alpha, gap
            above /= 2 if side == last else 1
        last = side
    return None


Weights = Mapping[str, torch.Tensor]


@torch.no_grad()
def lay_between(policy: PreTrainedModel, a: Weights, b: Weights, alpha: float) -> None:
    """Give `policy` the weights (1 − α)a + αb; at α = 0 and 1 they are those of a and b to the last bit."""
    for name, parameter in policy.named_parameters():
        parameter.copy_(torch.lerp(a[name], b[name], alpha))


class Checkpoint(NamedTuple):
    """A point of the path whose policy is known."""

    step: int
    kl: float
    """Nats per sequence."""


class Line:
    """The policies on the straight line between two checkpoints of a run, and what they answer."""

    def __init__(self, observer: Observer, policy: PreTrainedModel, run: Path) -> None:
        """`policy` is of π_ref's shape, and is given ever new weights; `run` is the finished run's folder."""
        self.observer, self.policy, self.run = observer, policy, run
        self.start = {name: value.clone() for name, value in observer.reference.named_parameters()}
        self.ends: tuple[Weights, Weights]
        self.latest: pd.DataFrame
        """Samples of the policy measured last."""

    def between(self, a: Checkpoint, b: Checkpoint) -> None:
        """Move to the line from `a` to `b`."""
        self.ends = self._weights(a.step), self._weights(b.step)

    def kl_at(self, alpha: float) -> float:
        """KL in nats of the policy at `alpha`."""
        lay_between(self.policy, *self.ends, alpha)
        self.latest = self.observer.sample(self.policy, f"between two checkpoints, at α = {alpha:g},")
        return mean_kl(self.latest, self.observer.items)

    def _weights(self, step: int) -> Weights:
        if step == 0:
            return self.start
        load_model(self.policy, weights_file(self.run, step))
        return {name: value.clone() for name, value in self.policy.named_parameters()}


def mean_kl(samples: pd.DataFrame, items: pd.DataFrame) -> float:
    """KL in nats per sequence over the world's distribution of prompts, as every curve has it."""
    weight = items.set_index("item_id")["weight"].loc[samples["item_id"]]
    return float(np.average(samples["kl"], weights=weight))


def checkpoints(run: Path, items: pd.DataFrame) -> list[Checkpoint]:
    """Every point of a finished run, in the order in which they were passed."""
    found = []
    for point in sorted((run / "points").glob("[0-9]*")):
        samples = read_table(point / "samples.parquet", "samples", ("item_id", "sample_id", "kl"))
        found.append(Checkpoint(int(point.name), mean_kl(samples, items)))
    return found


def interpolate(task: Task) -> None:
    """Measure the policy at every KL of the grid that the path has reached; between.json lists them."""
    reference, run = task.inputs["reference"] / "model", task.inputs["policy"]
    observer = Observer(
        task.out,
        task.world,
        load_policy(reference),
        seed=task.stream("observe"),
        batch_size=task.settings["batch_size"],
    )
    line, path = Line(observer, load_policy(reference), run), checkpoints(run, observer.items)
    wanted = [kl for kl in task.settings["kl"] if kl <= max(point.kl for point in path)]
    rows = []
    for number, kl in enumerate(wanted, start=1):
        after = next(i for i, point in enumerate(path) if point.kl >= kl)
        a, b = path[after - 1], path[after]
        line.between(a, b)
        placed = place(line.kl_at, kl, (a.kl, b.kl))
        if placed:
            observer.publish(task.out / "points" / point_name(number), line.latest)
            task.journal(number, len(wanted), {"kl_sequence": placed.kl})
        row = {"point": number, "kl": kl, "step_a": a.step, "step_b": b.step}
        rows.append(row | {"alpha": placed and placed.alpha})
    write_json(task.out / BETWEEN, {"schema": SCHEMA, "points": rows})
