"""The plan of an experiment: every stage in the order of the diagram, with all that makes it.

    world ─► π_ref ─► pairs ─► values ─► labels ─► proxies ─► policies ─► scores
      │         └──► backbones ─► gold           └► audit └► best-of-n pool ──┘
      └► prompts to measure on

Planning reads the config alone: no torch, no artefact, nothing run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reward_models.backbone import AnyModel, Sft
from reward_models.gold.trained import Trained
from training.config.proxy import Proxy, Replicate
from training.config.schema import Experiment
from training.engine.plan_policies import Policies
from training.engine.planned_stages import Stages
from training.engine.scoring import Scoring
from training.engine.stage import Plan, Stage


class _Planner:
    """Turns an experiment into stages; each method is an arrow or two of the diagram."""

    def __init__(self, config: Experiment) -> None:
        self.config = config
        self.common = {"seed": config.seed, "batch_size": config.measure.batch_size}
        self.plan = Plan()
        self.stages = Stages(config.world)
        self.add = self.stages.add

    def build(self) -> Plan:
        config, plan = self.config, self.plan
        drawn = {"seed": config.seed, "world": config.world}
        self.world = plan.world = self.add("world", "training.stages.world:build_world", drawn, {})
        plan.prompts["eval"] = self.prompts("eval", config.measure.items)
        if config.best_of_n:
            plan.prompts["pool"] = self.prompts("pool", config.best_of_n.prompts)
        self.reference = self.backbone(config.reference.model, "reference")
        self.fit_gold()
        self.scoring = Scoring(config, self.stages, self.world, self.gold, plan.prompts["eval"], self.line)
        proxies = {
            name: [self.proxy(name, proxy, replicate) for replicate in proxy.replicates]
            for name, proxy in config.proxies.items()
        }
        if config.world.has_matched_completions:
            plan.audits = self.scoring.audits(proxies)
        policies = Policies(config, self.stages, self.world, self.reference, self.scoring)
        plan.runs = [run for name, group in config.runs.items() for run in policies.of(name, group, proxies)]
        self.own_samples(proxies)
        plan.stages = list(self.stages.known.values())
        return plan

    def prompts(self, role: str, count: int) -> Stage:
        words = {"eval": "measure points", "pool": "fill the pool"}[role]
        settings = {"seed": self.config.seed, "role": role, "count": count}
        inputs = {"world": self.world}
        return self.add("prompts", "training.stages.world:draw_prompts", settings, inputs, label=words)

    def backbone(self, model: AnyModel, label: str, sft: Sft | None = None) -> Stage:
        """A model fine-tuned on the demonstrations; models of one shape share the artefact."""
        settings = {"seed": self.config.seed, "model": model, "sft": sft or self.config.reference.sft}
        return self.add("sft", "training.stages.sft:fine_tune", settings, {"world": self.world}, label=label)

    def fit_gold(self) -> None:
        config = self.config
        gold = config.gold if isinstance(config.gold, Trained) else None
        wanted = gold.pairs if gold and config.world.has_oracle else 0
        # The first pairs are held out of everything; a few of the rest tie under the oracle and are left out.
        count = config.measure.heldout_pairs + round(1.1 * wanted)
        self.heldout = self.sampled_pairs({"role": "gold", "count": count}, "gold")
        inputs = {"world": self.world, "pairs": self.heldout}
        if gold:
            inputs["backbone"] = self.backbone(gold.model, "gold", gold.sft)
        settings = {**self.common, "gold": config.gold, "heldout": config.measure.heldout_pairs}
        self.gold = self.add("gold", "training.stages.gold:fit_gold", settings, inputs, gold_side=True)
        self.plan.cards.append(self.gold)

    def sampled_pairs(self, settings: Mapping[str, Any], label: str) -> Stage:
        inputs = {"world": self.world, "reference": self.reference}
        run = "training.stages.pairs:sample_pairs"
        return self.add("pairs", run, {**self.common, **settings}, inputs, label=label)

    def chunk(self, window: int, number: int) -> Stage:
        """One chunk of the pairs that replicates with this window of pairs are labelled from."""
        settings = {"role": "pairs", "count": self.config.pair_chunk, "window": window, "chunk": number}
        return self.sampled_pairs(settings, f"proxies, {window}/{number}")

    def valued(self, judge: str, pairs: Stage, count: int | None, label: str) -> Stage:
        """A judge's values of pairs. They are standardised by the first chunk for annotators, and by
        themselves where they serve a card."""
        role = pairs.settings["role"]
        settings = {**self.common, "scorer": judge, "role": role, "count": count}
        inputs = {"world": self.world, "pairs": pairs}
        if judge == "gold":
            settings, inputs = {**settings, "gold": self.config.gold}, {**inputs, "gold": self.gold}
        if role == "pairs" and pairs is not self.chunk(0, 0):
            inputs["line"] = self.line(judge)
        run = "training.stages.values:value_pairs"
        return self.add("values", run, settings, inputs, label=f"{label} by {judge}", gold_side=True)

    def line(self, judge: str) -> Stage:
        """The valued pairs by whose mean and spread a judge is standardised for annotators."""
        return self.valued(judge, self.chunk(0, 0), None, "proxies, 0/0")

    def heldout_values(self) -> dict[str, Stage]:
        """Every judge's values of the held-out pairs, by what a card calls them."""
        count = self.config.measure.heldout_pairs
        judges = ["gold", *(["oracle"] if self.config.world.has_oracle else [])]
        return {f"values/{judge}": self.valued(judge, self.heldout, count, "heldout") for judge in judges}

    def proxy(self, name: str, proxy: Proxy, replicate: Replicate) -> Stage:
        label = f"{name}/{replicate.head}"
        common = {**self.common, "heldout": self.config.measure.heldout_pairs}
        if proxy.copies_gold:
            # The one way in which gold reaches a policy, and only by its own name in the config.
            inputs = {"gold": self.gold, "heldout": self.heldout}
            return self.add("control", "training.stages.proxy:copy_gold", common, inputs, gold_side=True)
        labels = self.labels(label, proxy, replicate)
        backbone = self.backbone(proxy.model or self.config.reference.model, f"backbone of {name}")
        trained = self.add(
            "proxy",
            "training.stages.proxy:fit_proxy",
            {**common, "head": replicate.head, "fit": proxy.fit},
            {"backbone": backbone, "labels": labels, "heldout": self.heldout},
            label=label,
        )
        described = {"name": f"proxy/{label}", "pairs": proxy.pairs, "labels": replicate.labels}
        card = self.add(
            "card",
            "training.stages.proxy:card",
            {**common, **described, "annotator": proxy.annotator or self.config.annotator},
            {"proxy": trained, **self.heldout_values(), "heldout": self.heldout},
            label=label,
            gold_side=True,
        )
        self.plan.cards.append(card)
        return trained

    def labels(self, label: str, proxy: Proxy, replicate: Replicate) -> Stage:
        """A replicate's pairs are the first of its window, so a smaller proxy's are the first of a larger
        one's: sizes are compared on shared data, and windows are independent. Pairs are sampled in whole
        chunks, so that nobody's pairs depend on how many another proxy has."""
        config = self.config
        annotator = proxy.annotator or config.annotator
        judge = annotator.judge(config.world.has_oracle)
        inputs = {"world": self.world}
        for number in range(math.ceil(config.pairs_to_choose_from(proxy) / config.pair_chunk)):
            pairs = self.chunk(replicate.pairs, number)
            values = self.valued(judge, pairs, None, f"proxies, {replicate.pairs}/{number}")
            inputs |= {f"pairs/{number}": pairs, f"values/{number}": values}
        settings = {
            "seed": config.seed,
            "labels": replicate.labels,
            "annotator": annotator,
            "count": proxy.pairs,
            **proxy.shares,
        }
        return self.add(
            "labels", "training.stages.proxy:label", settings, inputs, label=label, gold_side=True
        )

    def own_samples(self, proxies: Mapping[str, list[Stage]]) -> None:
        """π_ref's own samples: the best-of-n pool, and those that decide what it knows."""
        config = self.config
        if config.world.has_conditions:
            known = {"role": "eval", "condition": "neutral", "samples": config.measure.reference_samples}
            self.plan.reference = self.scoring.scored(self.sampled("reference", known), "reference", {})
        if config.best_of_n:
            pool = {"role": "pool", "condition": None, "samples": config.best_of_n.samples}
            named = {f"proxy/{n}/{k}": s for n, stages in proxies.items() for k, s in enumerate(stages)}
            self.plan.pool = self.scoring.scored(self.sampled("pool", pool), "best of n", named)

    def sampled(self, kind: str, settings: Mapping[str, Any]) -> Stage:
        role = settings["role"]
        inputs = {"world": self.world, "reference": self.reference, role: self.plan.prompts[role]}
        return self.add(kind, "training.stages.pool:sample_reference", {**self.common, **settings}, inputs)


def plan(config: Experiment) -> Plan:
    """Every stage of the experiment, in order."""
    stages = _Planner(config).build()
    stages.plugins = config.plugins
    return stages
