"""The policies that a group of runs stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from training.config.schema import Experiment, RunGroup
from training.engine.planned_stages import Stages
from training.engine.scoring import Scoring
from training.engine.stage import PlannedRun, Scored, Stage


class Place(NamedTuple):
    """What tells a policy from its siblings."""

    group: str
    proxy: str
    replicate: int
    budget: float | None
    """In nats; None where the control sets none."""
    seed: int

    def run_id(self, config: Experiment, method: str, run: RunGroup) -> str:
        """A readable name."""
        parts = [method, self.group, self.proxy]
        if self.budget is not None:
            parts.append(f"kl{self.budget:g}")
        if config.proxies[self.proxy].seeds > 1:
            parts.append(f"proxy{self.replicate}")
        if run.seeds > 1:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)


@dataclass(frozen=True)
class Policies:
    """Plans policies with their points, scores and interpolated checkpoints."""

    config: Experiment
    stages: Stages
    world: Stage
    reference: Stage
    scoring: Scoring

    @property
    def common(self) -> dict[str, int]:
        """Settings of every stage that samples."""
        return {"seed": self.config.seed, "batch_size": self.config.measure.batch_size}

    @property
    def _inputs(self) -> dict[str, Stage]:
        return {"world": self.world, "eval": self.scoring.prompts, "reference": self.reference}

    def of(self, group: str, run: RunGroup, proxies: Mapping[str, Sequence[Stage]]) -> Iterator[PlannedRun]:
        """The policies of a group: one for each proxy replicate, budget and seed."""
        for name, replicates in proxies.items():
            if run.proxies is None or name in run.proxies:
                mitigation = run.mitigation or self.config.mitigation
                count = min(len(replicates), run.replicates or len(replicates))
                first = range(0, count, mitigation.asks() if mitigation else 1)
                places = product(first, run.control.allotted(), range(run.seeds))
                for replicate, budget, seed in places:
                    yield self._policy(Place(group, name, replicate, budget, seed), run, replicates)

    def _policy(self, place: Place, run: RunGroup, replicates: Sequence[Stage]) -> PlannedRun:
        config, proxy = self.config, replicates[place.replicate]
        mitigation = run.mitigation or config.mitigation
        method = (run.policy or config.policy).against(config.pairs(place.proxy))
        run_id = place.run_id(config, method.type, run)
        asked = replicates[place.replicate :][: mitigation.asks() if mitigation else 1]
        further = {f"proxy/{number}": stage for number, stage in enumerate(asked) if number}
        labels = {"labels": proxy.inputs["labels"]} if method.reads_annotator else {}
        train = self.stages.add(
            "policy",
            "training.stages.policy:train_policy",
            {
                **self.common,
                "replicate": place.seed,
                "policy": method,
                "control": run.control.allotting(place.budget),
                "mitigation": mitigation,
                "budget": place.budget,
                "steps": run.steps or method.steps,
                "measure": True,
                **({"keep_weights": True} if run.keep_weights else {}),
                **({"hidden_states": True} if config.measure.hidden_states else {}),
            },
            {**self._inputs, "proxy": proxy, **further, **labels},
            label=run_id,
        )
        row = {
            "run_id": run_id,
            "group": place.group,
            "method": method.type,
            "control": run.control.type,
            "mitigation": mitigation.title if mitigation else None,
            "budget": place.budget,
            "proxy": place.proxy,
            "proxy_pairs": config.pairs(place.proxy),
            "proxy_seed": place.replicate,
            "seed": place.seed,
        }
        # By every replicate of its proxy: what one of them was exploited for, the others may not pay.
        scorers = {f"proxy/{place.proxy}/{number}": stage for number, stage in enumerate(replicates)}
        annotator = config.annotator_of(place.proxy)

        def valued(samples: Stage, label: str) -> Scored:
            return self.scoring.tabled(self.scoring.scored(samples, label, scorers), label, annotator)

        points = valued(train, run_id)
        between = (
            valued(self._between(train, run_id), f"{run_id} between points") if run.keep_weights else None
        )
        return PlannedRun(row, points, between)

    def _between(self, policy: Stage, run_id: str) -> Stage:
        """A run's checkpoints interpolated to the KLs at which sides are compared."""
        from analysis.equal_kl.comparison import KL_GRID  # numpy and pandas, for those who need it alone

        return self.stages.add(
            "between",
            "training.stages.interpolate:interpolate",
            {**self.common, "kl": list(KL_GRID)},
            {**self._inputs, "policy": policy},
            label=run_id,
        )
