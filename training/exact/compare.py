"""A finished experiment in an enumerable world held against the truth: measured means beside exact values.

What was measured is read from the records, as a report reads it. The exact values come from the weights of
π_ref, of the policies at their last point and of the proxies, by enumeration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.pool import best_of_n, exact
from analysis.pool.exact import Floats
from analysis.pool.frontier import Tilted
from analysis.records.experiment import Experiment, Point, Run
from analysis.records.run_curves import SampleKeys, read_scores
from training.config.load import load
from training.engine.plan import plan
from training.engine.resolve import stored
from training.engine.stage import Plan, PlannedRun, Stage
from training.errors import UserError
from training.exact.enumeration import Enumeration
from training.methods.best_of_n import BestOfN
from training.methods.dpo import Dpo
from training.methods.grpo import Grpo
from training.methods.kl_control import Penalty
from training.methods.ppo import Ppo
from training.methods.rloo import Rloo
from training.store.artefacts import Artefact, Store
from training.worlds.built_world import BuiltWorld
from training.worlds.enumerable import EnumerableWorld

COLUMNS = ("policy", "quantity", "measured", "se", "exact")
N = (2, 4, 16)
BETAS = (2.0, 1.0)


@dataclass(frozen=True)
class Truth:
    """The artefacts of an experiment, enumerated. Arrays are of shape (prompts, C)."""

    artefacts: Mapping[str, Artefact]
    """By the keys of their stages."""
    enumeration: Enumeration
    reference: Floats
    """log π_ref(token | prefix), shape (prompts, S, V)."""

    @classmethod
    def of(cls, stages: Plan, artefacts: Mapping[str, Artefact], reference: Stage) -> Truth:
        """Enumerate the world and its π_ref."""
        from training.sampling.sample import load_policy

        enumeration = Enumeration.of(BuiltWorld(_artefact(artefacts, stages.world)))
        policy = load_policy(_artefact(artefacts, reference) / "model")
        return cls(artefacts, enumeration, enumeration.conditionals(policy))

    @property
    def log_reference(self) -> Floats:
        return self.enumeration.tree.log_prob(self.reference)

    def proxy(self, stage: Stage, standardised: bool) -> Floats:
        """A proxy's values, raw as in the records or standardised as policies are rewarded."""
        from reward_models.reward import RewardModel

        model = RewardModel.load(_artefact(self.artefacts, stage) / "model")
        return self.enumeration.reward(model, standardised=standardised)

    def best_of(self, run: PlannedRun, n: int) -> Mapping[str, float]:
        """KL and true value of the best of n."""
        law = exact.best_of_n(self.log_reference, self.proxy(run.train.inputs["proxy"], False), n)
        oracle = exact.expected(law, self.enumeration.oracle())
        return {"kl": float(exact.kl(law, self.log_reference).mean()), "oracle": float(oracle.mean())}

    def trained(self, run: PlannedRun, beta: float | None) -> Mapping[str, float]:
        """KL estimators, scores and behaviours of a trained policy; with β, its distance from π*."""
        from training.sampling.sample import load_policy

        enumeration, tree = self.enumeration, self.enumeration.tree
        policy = enumeration.conditionals(load_policy(_artefact(self.artefacts, run.train) / "model"))
        log_p, proxy = tree.log_prob(policy), run.train.inputs["proxy"]
        values = dict(tree.estimators(policy, self.reference))
        values["proxy"] = exact.expected(log_p, self.proxy(proxy, standardised=False))
        values["oracle"] = exact.expected(log_p, enumeration.oracle())
        for name in ("correct", "praise"):
            values[name] = exact.expected(log_p, enumeration.behaviour(name))
        if beta:
            optimum = exact.tilted(self.log_reference, self.proxy(proxy, standardised=True), beta)
            values["total variation to π*"] = exact.total_variation(log_p, optimum)
        return {name: float(value.mean()) for name, value in values.items()}


def compare(directory: Path) -> pd.DataFrame:
    """`COLUMNS` for the last point of every run, and for best-of-n and the frontier of the pool.

    Means are over the world's prompts, KLs in nats per sequence, scores raw; se is NaN where nothing was
    sampled. The laws of best-of-n and π* are those of the proxy itself, so a run whose mitigation makes
    another reward of it is not held against them.

    Raises:
        UserError: the world cannot be enumerated, or an artefact is no longer in the store.
    """
    experiment = Experiment.read(directory)
    config = load(directory / "config.yaml")[0].config
    if not isinstance(config.world, EnumerableWorld):
        raise UserError(f"{directory}: world `{config.world.type}` has no exact values; `enumerable` has")
    stages = plan(config)
    store = Store(Path(config.paths.store) if config.paths.store else directory.parent / ".store")
    sampled = stages.runs[0].train if stages.runs else stages.pool and stages.pool.samples
    if not sampled:
        raise UserError(f"{directory}: nothing was measured in this experiment")
    truth = Truth.of(stages, stored(stages, store), sampled.inputs["reference"])
    rows: list[tuple[Any, ...]] = []
    for planned, run in zip(stages.runs, experiment.runs, strict=True):
        group = config.runs[planned.row["group"]]
        method, measured = group.policy or config.policy, _measured(experiment, run)
        if isinstance(method, BestOfN):
            values = {} if run.mitigation else truth.best_of(planned, run.points[-1].step)
        else:
            beta = None
            # Where β is a price of KL and stays what it is, π* is what the method should reach.
            priced = isinstance(group.control, Penalty) and not run.mitigation
            if priced and isinstance(method, Rloo | Grpo | Ppo | Dpo):
                beta = method.beta
            values = truth.trained(planned, beta)
        for name, value in values.items():
            rows.append((run.run_id, name, *measured.get(name, (np.nan, np.nan)), value))
    if stages.pool and experiment.pool_point:
        proxies = {s.settings["scorer"]: s.inputs["proxy"] for s in stages.pool.scores if "proxy" in s.inputs}
        rows += _pool(truth, experiment, experiment.pool_point, proxies)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _artefact(artefacts: Mapping[str, Artefact], stage: Stage) -> Path:
    if stage.key not in artefacts:
        raise UserError(f"{stage.title} is no longer in the store; run the experiment again")
    return artefacts[stage.key].path


def _measured(experiment: Experiment, run: Run) -> dict[str, tuple[float, float]]:
    """Mean and standard error of everything sampled at a run's last point."""
    items, point = experiment.items, run.points[-1]
    samples = point.samples()
    keys = SampleKeys(items, samples, point.path)
    scores, outcomes = read_scores(point, keys), point.outcomes()
    estimators = ("kl", "k1", "k2", "k3", "kl_reverse", "k1_clamped")
    columns: dict[str, Any] = {name: samples[name] for name in estimators}
    columns |= {"proxy": scores[run.scorer], "oracle": scores["oracle"]}
    columns |= {name: outcomes[name] for name in ("correct", "praise")}
    weight = items["weight"].to_numpy(dtype=float)
    return {
        name: _mean(keys.item_mean(np.asarray(column, dtype=float)), weight)
        for name, column in columns.items()
    }


def _mean(value: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted mean over items with its standard error."""
    share = weight / weight.sum()
    mean = float(share @ value)
    return mean, float(np.sqrt((share**2) @ (value - mean) ** 2))


def _pool(
    truth: Truth, experiment: Experiment, point: Point, proxies: Mapping[str, Stage]
) -> Iterator[tuple[Any, ...]]:
    items = experiment.pool_items
    keys = SampleKeys(items, point.samples(), point.path)
    size, weight = int(keys.count[0]), items["weight"].to_numpy(dtype=float)
    raw = {name: value.reshape(-1, size) for name, value in read_scores(point, keys).items()}
    log_ref, oracle = truth.log_reference, truth.enumeration.oracle()
    for name, stage in proxies.items():
        ranked, reward = best_of_n.Pool.rank(raw[name]), truth.proxy(stage, standardised=False)
        for n in N:
            if n > best_of_n.grid(size).max():
                continue
            law, each = exact.best_of_n(log_ref, reward, n), np.array([n])
            where, kl = f"best of {n} by {name}", float(exact.kl(law, log_ref).mean())
            yield where, "kl", *_mean(ranked.kl(each)[:, 0], weight), kl
            score = float(exact.expected(law, oracle).mean())
            yield where, "oracle", *_mean(ranked.expected(raw["oracle"], each)[:, 0], weight), score
        sd = float(raw[name].std())
        for beta in BETAS:
            tilt, best = Tilted.of(raw[name], beta * sd), exact.tilted(log_ref, reward, beta * sd)
            where, kl = f"frontier of {name}, β = {beta:g}", float(exact.kl(best, log_ref).mean())
            yield where, "kl", *_mean(tilt.kl(), weight), kl
            score = float(exact.expected(best, oracle).mean())
            yield where, "oracle", *_mean(tilt.expected(raw["oracle"]), weight), score
