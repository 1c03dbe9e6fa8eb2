"""The plan of an experiment: every stage in the order of the diagram, named by the hash of all that makes it.

    world ─► π_ref ─► pairs ─► gold values ─► labels ─► proxies ─► policies ─► scores
                └──► backbones ─► gold ──┘         └► audit └► best-of-n pool ──┘

Planning reads the config alone: no torch, no artefact, nothing run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_models.annotators.base import Annotator
from reward_models.backbone import AnyModel, Sft
from reward_models.gold.trained import Trained
from training.config.proxy import Proxy
from training.config.schema import Experiment, RunGroup
from training.engine.runs_of_group import cells, run_id
from training.engine.stage import Plan, PlannedRun, Stage
from training.store.code_identity import contents_named_in, fingerprint
from training.store.identity import Identity


class _Planner:
    """Turns an experiment into stages; each method is an arrow or two of the diagram."""

    def __init__(self, config: Experiment) -> None:
        self.config = config
        self.common = {"seed": config.seed, "batch_size": config.measure.batch_size}
        self.plan = Plan()
        self.known: dict[str, Stage] = {}

    def add(
        self,
        stage: str,
        run: str,
        settings: Mapping[str, Any],
        label: str = "",
        *,
        gold_side: bool = False,
        **inputs: Stage,
    ) -> Stage:
        if outside := contents_named_in(settings):
            settings = {**settings, "contents": outside}
        identity = Identity(
            stage, settings, {k: v.identity.id for k, v in inputs.items()}, fingerprint(stage), label
        )
        if identity.name not in self.known:
            self.known[identity.name] = Stage(identity, run, inputs, gold_side)
            self.plan.stages.append(self.known[identity.name])
        return self.known[identity.name]

    def backbone(self, model: AnyModel, label: str, sft: Sft | None = None) -> Stage:
        """A model fine-tuned on the demonstrations; models of one shape share the artefact."""
        settings = {
            "seed": self.config.seed,
            "model": model.model_dump(mode="json"),
            "sft": (sft or self.config.reference.sft).model_dump(mode="json"),
        }
        return self.add("sft", "training.stages.sft:fine_tune", settings, label, world=self.plan.world)

    def build(self) -> Plan:
        config, plan = self.config, self.plan
        plan.world = self.add(
            "world",
            "training.stages.world:build_world",
            {
                "seed": config.seed,
                "world": config.world.model_dump(mode="json"),
                "eval_items": config.measure.items,
                "pool_prompts": config.best_of_n.prompts if config.best_of_n else 0,
            },
        )
        gold = config.gold if isinstance(config.gold, Trained) else None
        self.reference = self.backbone(config.reference.model, "reference")
        gold_backbone = self.backbone(gold.model, "gold", gold.sft) if gold else None
        self.gold(gold_backbone)
        proxies = {
            (name, replicate): self.proxy(name, proxy, replicate)
            for name, proxy in config.proxies.items()
            for replicate in range(proxy.seeds)
        }
        named = {f"proxy/{name}/{replicate}": stage for (name, replicate), stage in proxies.items()}
        if config.world.has_matched_completions:
            plan.audit = self.valuing("audit", "training.stages.score:score_matched", "", named)
        for group, run in config.runs.items():
            self.policies(group, run, proxies)
        self.samples(named)
        return plan

    def pairs(self, role: str, count: int, label: str) -> Stage:
        settings = {**self.common, "role": role, "count": count}
        return self.add(
            "pairs",
            "training.stages.pairs:sample_pairs",
            settings,
            label,
            world=self.plan.world,
            reference=self.reference,
        )

    def gold(self, backbone: Stage | None) -> None:
        config = self.config
        wanted = config.gold.pairs if isinstance(config.gold, Trained) and config.world.has_oracle else 0
        # The first pairs are held out of everything; a few of the rest tie under the oracle and are left out.
        self.heldout = self.pairs("gold", config.measure.heldout_pairs + round(1.1 * wanted), "gold")
        settings = {
            **self.common,
            "gold": config.gold.model_dump(mode="json"),
            "heldout": config.measure.heldout_pairs,
        }
        self.plan.gold = self.add(
            "gold",
            "training.stages.gold:fit_gold",
            settings,
            "",
            gold_side=True,
            world=self.plan.world,
            pairs=self.heldout,
            **({"backbone": backbone} if backbone else {}),
        )
        self.plan.cards.append(self.plan.gold)
        count = config.window * max(p.seeds for p in config.proxies.values())
        self.comparisons = self.pairs("pairs", count, "proxies")
        self.values = self.valued(self.comparisons, "pairs", count, "proxies")
        self.heldout_values = self.valued(self.heldout, "gold", config.measure.heldout_pairs, "heldout")

    def valued(self, pairs: Stage, role: str, count: int, label: str) -> Stage:
        gold = self.config.gold.model_dump(mode="json")
        return self.add(
            "values",
            "training.stages.gold:value_pairs",
            {**self.common, "gold": gold, "role": role, "count": count},
            label,
            gold_side=True,
            world=self.plan.world,
            gold=self.plan.gold,
            pairs=pairs,
        )

    def proxy(self, name: str, proxy: Proxy, replicate: int) -> Stage:
        label = f"{name}/{replicate}"
        if proxy.copies_gold:
            # The one way in which gold reaches a policy, and only by its own name in the config.
            settings = {**self.common, "heldout": self.config.measure.heldout_pairs}
            return self.add(
                "control",
                "training.stages.proxy:copy_gold",
                settings,
                gold_side=True,
                gold=self.plan.gold,
                heldout=self.heldout,
            )
        annotator = (proxy.annotator or self.config.annotator).model_dump(mode="json")
        seed = {"seed": self.config.seed, "replicate": replicate, "annotator": annotator}
        heldout = {"heldout": self.config.measure.heldout_pairs}
        # A replicate's pairs start where the previous one's could end, and a smaller proxy's are the first
        # of a larger one's: sizes are compared on shared data, replicates are independent.
        cut: dict[str, Any] = {"start": replicate * self.config.window, "count": proxy.pairs}
        if proxy.shares:
            cut |= {"window": self.config.window, **proxy.shares}
        labels = self.add(
            "labels",
            "training.stages.proxy:label",
            {**seed, **cut},
            label,
            gold_side=True,
            world=self.plan.world,
            values=self.values,
            pairs=self.comparisons,
        )
        trained = self.add(
            "proxy",
            "training.stages.proxy:fit_proxy",
            {**self.common, **heldout, "replicate": replicate, "fit": proxy.fit.model_dump(mode="json")},
            label,
            backbone=self.backbone(proxy.model, f"backbone of {name}"),
            labels=labels,
            heldout=self.heldout,
        )
        card = self.add(
            "card",
            "training.stages.proxy:card",
            {**self.common, **seed, **heldout, "name": f"proxy/{label}", "pairs": proxy.pairs},
            label,
            gold_side=True,
            proxy=trained,
            values=self.heldout_values,
            heldout=self.heldout,
        )
        self.plan.cards.append(card)
        return trained

    def policies(self, group: str, run: RunGroup, proxies: Mapping[tuple[str, int], Stage]) -> None:
        config = self.config
        mitigation = run.mitigation or config.mitigation
        for (name, replicate), proxy in proxies.items():
            if run.proxies is not None and name not in run.proxies:
                continue
            for budget, seed in cells(run):
                method = (run.policy or config.policy).against(config.pairs(name))
                labels: dict[str, Any] = {"labels": proxy.inputs["labels"]} if method.reads_annotator else {}
                name_of_run = run_id(config, method.type, group, run, name, replicate, budget, seed)
                train = self.add(
                    "policy",
                    "training.stages.policy:train_policy",
                    {
                        **self.common,
                        "replicate": seed,
                        "policy": method.model_dump(mode="json"),
                        # Not with its siblings' budgets: a further one changes no other run.
                        "control": run.control.model_dump(mode="json", exclude={"budgets"}),
                        "mitigation": mitigation.model_dump(mode="json") if mitigation else None,
                        "budget": budget,
                        "steps": run.steps or method.steps,
                        "measure": True,
                        **({"keep_weights": True} if run.keep_weights else {}),
                        **({"hidden_states": True} if config.measure.hidden_states else {}),
                    },
                    name_of_run,
                    world=self.plan.world,
                    reference=self.reference,
                    proxy=proxy,
                    **labels,
                )
                row = {
                    "run_id": name_of_run,
                    "group": group,
                    "method": method.type,
                    "control": run.control.type,
                    "mitigation": mitigation.title if mitigation else None,
                    "budget": budget,
                    "proxy": name,
                    "proxy_pairs": config.pairs(name),
                    "proxy_seed": replicate,
                    "seed": seed,
                }
                scorers = {f"proxy/{name}/{replicate}": proxy}
                # How its raters take to it is asked where the world knows a plain right answer.
                rater = config.annotator_of(name) if config.world.has_matched_completions else None
                score = self.scored(train, name_of_run, scorers, rater)
                between = self.between(train, name_of_run, scorers, rater) if run.keep_weights else None
                self.plan.runs.append(PlannedRun(row, train, score, between))

    def between(
        self, policy: Stage, run_id: str, scorers: Mapping[str, Stage], rater: Annotator | None
    ) -> tuple[Stage, Stage]:
        """A run's checkpoints interpolated to the KLs at which sides are compared, and their scores."""
        from analysis.equal_kl.comparison import KL_GRID  # numpy and pandas, for those who need it alone

        made = self.add(
            "between",
            "training.stages.interpolate:interpolate",
            {**self.common, "kl": list(KL_GRID)},
            run_id,
            world=self.plan.world,
            reference=self.reference,
            policy=policy,
        )
        return made, self.scored(made, f"{run_id} between points", scorers, rater)

    def scored(
        self, samples: Stage, label: str, proxies: Mapping[str, Stage], rater: Annotator | None = None
    ) -> Stage:
        inputs = {"samples": samples, **proxies, **({"values": self.values} if rater else {})}
        asked = {"annotator": rater.model_dump(mode="json")} if rater else {}
        return self.valuing("scores", "training.stages.score:score_points", label, inputs, **asked)

    def valuing(self, stage: str, run: str, label: str, inputs: Mapping[str, Stage], **more: Any) -> Stage:
        settings = {"batch_size": self.common["batch_size"], "gold": self.config.gold.model_dump(mode="json")}
        world, gold = self.plan.world, self.plan.gold
        return self.add(stage, run, settings | more, label, gold_side=True, world=world, gold=gold, **inputs)

    def samples(self, proxies: Mapping[str, Stage]) -> None:
        """π_ref's own samples: the best-of-n pool, and those that decide what it knows."""
        config = self.config
        if config.world.has_conditions:
            known = {"role": "eval", "condition": "neutral", "samples": config.measure.reference_samples}
            drawn = self.sampled("reference", known)
            self.plan.reference = drawn, self.scored(drawn, "reference", {})
        if config.best_of_n:
            pool = {"role": "pool", "condition": None, "samples": config.best_of_n.samples}
            drawn = self.sampled("pool", pool)
            self.plan.pool = drawn, self.scored(drawn, "best of n", proxies)

    def sampled(self, stage: str, settings: Mapping[str, Any]) -> Stage:
        return self.add(
            stage,
            "training.stages.pool:sample_reference",
            {**self.common, **settings},
            world=self.plan.world,
            reference=self.reference,
        )


def plan(config: Experiment) -> Plan:
    """Every stage of the experiment, named and ordered."""
    return _Planner(config).build()
