"""The whole schema of an experiment. Reading it imports no torch.

Each variant's fields live beside its behaviour; the unions imported here are the registries. YAML only
overrides the defaults given in these classes.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from reward_models.annotators import AnyAnnotator
from reward_models.annotators.bradley_terry import BradleyTerry
from reward_models.backbone import AnyModel, Scratch, Sft
from reward_models.component import Component
from reward_models.gold import AnyGold
from reward_models.gold.trained import Trained
from training.config.pairings import (
    idle_mitigation,
    idle_weights,
    short_of_members,
    twins,
    unreadable,
    unstated_tables,
)
from training.config.proxy import Proxy
from training.config.tracking import Tracking
from training.errors import did_you_mean
from training.methods import AnyMethod
from training.methods.kl_control import AnyControl, PathControl
from training.methods.rloo import Rloo
from training.mitigations import AnyMitigation
from training.point_tables import AnyPointTable, Approvals
from training.sampling.pair_shares import pairs_needed
from training.worlds import AnyWorld


def _slug(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}", name):
        raise ValueError("must be a plain name of at most 100 letters, digits, '.', '_', '=', '+' or '-'")
    return name


Slug = Annotated[str, AfterValidator(_slug)]


class Reference(Component):
    """π_ref: the policy before optimisation, to which every KL is measured."""

    model: AnyModel = Scratch()
    """The policy's network."""
    sft: Sft = Sft()
    """How it, and the backbones of the reward models, learn the demonstrations."""


class RunGroup(Component):
    """Policies trained alike: one for each proxy replicate, budget and seed."""

    proxies: tuple[str, ...] | None = None
    """Names of proxies to optimise against; default: all of them."""
    policy: AnyMethod | None = None
    """How these policies are optimised; default: the experiment's `policy`."""
    mitigation: AnyMitigation | None = None
    """What is changed to resist overoptimisation; default: the experiment's `mitigation`."""
    control: AnyControl = PathControl()
    """How KL is spent."""
    replicates: int | None = Field(None, ge=1, strict=True)
    """Optimise against the first so many replicates of each proxy; default: against all."""
    seeds: int = Field(1, ge=1, strict=True)
    """Policies per proxy replicate and budget."""
    steps: int | None = Field(None, ge=1, strict=True)
    """Optimiser steps, where they differ from `policy.steps`."""
    keep_weights: bool = Field(False, strict=True)
    """Keep the weights at every point: the equal-KL comparison then interpolates these, not scores."""


class Pool(Component):
    """One pool of samples from π_ref, from which every n ≤ samples is computed."""

    prompts: int = Field(128, ge=2, strict=True)
    """Prompts in the pool."""
    samples: int = Field(256, ge=4, strict=True)
    """Samples per prompt."""


class Measure(Component):
    """What is sampled at every point of a run."""

    items: int = Field(600, ge=4, strict=True)
    """Evaluation items, each asked under all of the world's matched conditions; some 600 resolve a change of
    five points in a paired rate."""
    reference_samples: int = Field(8, ge=8, strict=True)
    """Neutral samples of π_ref per item, from which is decided what it knows."""
    heldout_pairs: int = Field(1000, ge=50, strict=True)
    """Pairs kept aside for the reward models' calibration cards."""
    batch_size: int = Field(1024, ge=1, strict=True)
    """Sequences per forward pass when sampling and scoring."""
    hidden_states: bool = False
    """Keep what the policy's last layer holds at the end of each neutral and each wrong-belief prompt, from
    which what it knows is read beside what it says."""
    tables: tuple[AnyPointTable, ...] = (Approvals(),)
    """Further tables of every point of a policy, which probes read beside its outcomes."""


class Paths(Component):
    """Where things are kept; not part of an experiment's identity."""

    runs: str = "runs"
    """Directory of the experiments' records."""
    store: str | None = None
    """Directory of the content-addressed artefacts; default: `.store` inside `runs`."""


class Experiment(Component):
    """Everything that decides an experiment's results, and (declared so) what does not."""

    schema_version: Literal[1] = 1
    name: Slug
    """Directory name under `paths.runs`."""
    plugins: tuple[str, ...] = ()
    """Modules with parts of your own, by name or as paths of .py files relative to the config that names
    them; imported before anything else is read. No part of the identity, in which the code of a part is."""
    seed: int = Field(0, ge=0, strict=True)
    """Root of every random stream."""
    world: AnyWorld
    reference: Reference = Reference()
    gold: AnyGold = Trained()
    annotator: AnyAnnotator = BradleyTerry()
    proxies: dict[Slug, Proxy] = Field(min_length=1)
    policy: AnyMethod = Rloo()
    mitigation: AnyMitigation | None = None
    runs: dict[Slug, RunGroup] = Field(default_factory=dict)
    best_of_n: Pool | None = Pool()
    measure: Measure = Measure()
    pair_chunk: int = Field(1000, ge=2, strict=True)
    """Pairs for the annotators are sampled this many at a time, always in whole chunks: so no proxy's pairs
    depend on how many another has."""
    headline_behaviour: str = "sycophancy"
    """The behaviour that findings, budgets and mitigations are about: the headline of a probe."""
    tracking: Tracking = Tracking()
    paths: Paths = Paths()
    workers: int = Field(2, ge=1, strict=True)
    """Worker processes for training; results do not depend on it."""
    report: bool = Field(True, strict=True)
    """Draw the report when the experiment ends; `overopt report` draws it at any time. Without it, W&B shows
    no best-of-n curves."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Experiment:
        problems = [*self._unknown_proxies(), *self._unreadable(), *self._share_problems()]
        problems += [*self._gold_problems(), *self._tokenizer_problems(), *self._method_problems()]
        problems += [*self._mitigation_problems(), *self._control_problems(), *self._measure_problems()]
        problems += self._headline_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _headline_problems(self) -> list[str]:
        from analysis.probes import PROBES  # here: it loads pandas

        known = [probe.headline.measure for probe in PROBES.values() if probe.headline is not None]
        if self.headline_behaviour in known:
            return []
        hint = did_you_mean(self.headline_behaviour, known)
        return [f"headline_behaviour: no probe has the headline {self.headline_behaviour!r}{hint}"]

    def _unknown_proxies(self) -> list[str]:
        known = ", ".join(self.proxies)
        return [
            f"runs.{group}.proxies names `{proxy}`, which is not among the proxies ({known})"
            for group, run in self.runs.items()
            for proxy in run.proxies or ()
            if proxy not in self.proxies
        ]

    def _unreadable(self) -> list[str]:
        annotators = {"annotator": self.annotator}
        annotators |= {f"proxies.{k}.annotator": p.annotator for k, p in self.proxies.items() if p.annotator}
        return [why for place, each in annotators.items() for why in unreadable(place, each, self.world)]

    def _share_problems(self) -> list[str]:
        problems = []
        for name, proxy in self.proxies.items():
            for field, share in proxy.shares.items():
                natural = self.world.natural_shares.get(field)
                place = f"proxies.{name}.{field}"
                if natural is None:
                    problems.append(f"{place}: world `{self.world.type}` as configured has no such prompts")
                elif not math.isfinite(pairs_needed(proxy.pairs, natural, share)):
                    problems.append(f"{place} = {share:g}: that share is {natural:g} by nature, always")
            if len(proxy.shares) > 1:
                problems.append(f"proxies.{name}: {' and '.join(proxy.shares)} exclude each other")
        return problems

    def _control_problems(self) -> list[str]:
        return [
            f"runs.{group}: {method.type} with labels = annotator needs labels, and proxies.{name} is a copy "
            "of gold"
            for group, run in self.runs.items()
            if (method := run.policy or self.policy).reads_annotator
            for name in run.proxies or self.proxies
            if name in self.proxies and self.proxies[name].copies_gold
        ]

    def _gold_problems(self) -> list[str]:
        copies = [name for name, proxy in self.proxies.items() if proxy.copies_gold]
        if copies and not isinstance(self.gold, Trained):
            return [f"proxies.{name}.copies_gold needs gold.type = trained" for name in copies]
        problems = self.gold.problems(self.world.has_oracle)
        return [f"gold.type is {self.gold.type} in world `{self.world.type}`: {each}" for each in problems]

    def _tokenizer_problems(self) -> list[str]:
        if self.world.takes_pretrained_models:
            return []
        models = {"reference.model": self.reference.model}
        models |= {
            f"proxies.{name}.model": proxy.model for name, proxy in self.proxies.items() if proxy.model
        }
        if isinstance(self.gold, Trained):
            models["gold.model"] = self.gold.model
        return [
            f"{place} is pretrained, but world `{self.world.type}` makes its own tokenizer, whose token ids "
            "mean nothing to those weights (a text world can use theirs: world.tokenizer.type=pretrained)"
            for place, model in models.items()
            if model.type == "pretrained"
        ]

    def _method_problems(self) -> list[str]:
        problems = [f"policy: {problem}" for problem in self.policy.problems()]
        for group, run in self.runs.items():
            method = run.policy or self.policy
            place = f"runs.{group}"
            if run.policy:
                problems += [f"{place}.policy: {problem}" for problem in run.policy.problems()]
            if reason := method.refused_controls.get(run.control.type):
                problems.append(
                    f"{place}.control.type = {run.control.type} cannot steer {method.type}: {reason}"
                )
            if run.steps and not method.takes_steps:
                problems.append(
                    f"{place}.steps means nothing to {method.type}, which takes no gradient steps"
                )
            idle = idle_weights(run.keep_weights, run.control, method)
            problems += [f"{place}.keep_weights {why}" for why in idle]
        return problems

    def _measure_problems(self) -> list[str]:
        problems = unstated_tables(self.measure.tables)
        if self.measure.hidden_states and not self.world.has_conditions:
            problems.append(
                "measure.hidden_states reads neutral and wrong-belief prompts, and world "
                f"`{self.world.type}` has no such conditions"
            )
        return problems

    def _mitigation_problems(self) -> list[str]:
        problems: list[str] = []
        for group, run in self.runs.items():
            method, mitigation = run.policy or self.policy, run.mitigation or self.mitigation
            used = {name: self.proxies[name] for name in run.proxies or self.proxies if name in self.proxies}
            if mitigation:
                where = f"runs.{group}.mitigation" if run.mitigation else f"runs.{group}"
                problems += idle_mitigation(where, mitigation, method, self.world)
                problems += short_of_members(where, mitigation, used)
            problems += twins(f"runs.{group}", method, used)
        return problems

    def pairs(self, proxy: str) -> int:
        """Labelled comparisons behind a proxy; gold's, where the proxy is a copy of it."""
        if self.proxies[proxy].copies_gold and isinstance(self.gold, Trained):
            return self.gold.pairs
        return self.proxies[proxy].pairs

    def annotator_of(self, proxy: str) -> AnyAnnotator | None:
        """Who labels a proxy's pairs; None where it is a copy of gold."""
        asked = self.proxies[proxy]
        return None if asked.copies_gold else asked.annotator or self.annotator

    def pairs_to_choose_from(self, proxy: Proxy) -> int:
        """Pairs that a proxy's own are taken from: as many as it has, or more where it chooses among them."""
        natural = self.world.natural_shares
        needed = [pairs_needed(proxy.pairs, natural[field], share) for field, share in proxy.shares.items()]
        return math.ceil(max([*needed, proxy.pairs]))

    def identity(self) -> dict[str, Any]:
        """The settings that decide results, as plain JSON types."""
        return self.model_dump(mode="json", exclude=NOT_IDENTITY)


# Where records go, how they are mirrored, how many processes share the work, whether a report is drawn and
# what figures call a proxy change no result; tests hold this to be true. What a plugin adds is named by its
# code, like any other part.
NOT_IDENTITY: Any = {
    **dict.fromkeys(("name", "plugins", "headline_behaviour", "tracking"), True),
    **dict.fromkeys(("paths", "workers", "report"), True),
    "proxies": {"__all__": {"dose": True}},
}
