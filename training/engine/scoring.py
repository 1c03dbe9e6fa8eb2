"""Planning what values samples: one stage per scorer, so that one scorer more costs one scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reward_models.annotators.base import Annotator
from training.config.schema import Experiment
from training.engine.planned_stages import Stages
from training.engine.stage import Scored, Stage
from training.point_tables.base import PointTable

POINTS = "training.stages.score:score_points"
MATCHED = "training.stages.audit:score_matched"
TABLES = "training.stages.point_table:tabulate"


@dataclass(frozen=True)
class Scoring:
    """Plans the scores of points, pools, reference samples and of the world's matched completions."""

    config: Experiment
    stages: Stages
    world: Stage
    gold: Stage
    prompts: Stage
    """Those that points are measured on."""
    line: Callable[[str], Stage]
    """Of a judge, the valued pairs by whose mean and spread it is standardised for annotators."""

    def scored(
        self,
        samples: Stage,
        label: str,
        proxies: Mapping[str, Stage],
    ) -> Scored:
        """Samples, with what values them: π_ref's own keep their items beside them, a policy's are of eval.

        Args:
            proxies: scorer id ("proxy/<name>/<replicate>") to proxy.
        """
        inputs = {"world": self.world, "samples": samples}
        if samples.kind not in ("reference", "pool"):
            inputs["eval"] = self.prompts
        return Scored(samples, tuple(self._by_everyone("scores", POINTS, label, proxies, inputs)))

    def tabled(self, scored: Scored, label: str, annotator: Annotator | None) -> Scored:
        """A policy's scored points with the further tables that are made of them.

        Args:
            annotator: who labelled for the policy's proxy; None for a copy of gold.
        """
        wanted = (t for t in self.config.measure.tables if t.wanted(self.config.world, annotator))
        made = tuple(self._table(table, scored, label, annotator) for table in wanted)
        return replace(scored, scores=scored.scores + made)

    def _table(self, table: PointTable, scored: Scored, label: str, annotator: Annotator | None) -> Stage:
        settings = {**self._settings, "table": table, "annotator": annotator}
        inputs = {"world": self.world, "samples": scored.samples, "eval": self.prompts}
        judge = table.judge(self.config.world, annotator)
        if judge:
            settings["scorer"] = judge
            (scores,) = (stage for stage in scored.scores if stage.settings["scorer"] == judge)
            inputs |= {"line": self.line(judge), "scores": scores}
        if judge == "gold":
            settings, inputs = {**settings, "gold": self.config.gold}, {**inputs, "gold": self.gold}
        return self.stages.add(table.type, TABLES, settings, inputs, label=label, gold_side=judge is not None)

    def audits(self, proxies: Mapping[str, Sequence[Stage]]) -> list[Stage]:
        """Every reward model's values of the world's matched completions."""
        named = {
            f"proxy/{name}/{k}": stage for name, stages in proxies.items() for k, stage in enumerate(stages)
        }
        inputs = {"world": self.world, "eval": self.prompts}
        return self._by_everyone("audit", MATCHED, "", named, inputs)

    @property
    def _settings(self) -> dict[str, Any]:
        return {"batch_size": self.config.measure.batch_size}

    def _by_everyone(
        self, kind: str, run: str, label: str, proxies: Mapping[str, Stage], inputs: Mapping[str, Stage]
    ) -> list[Stage]:
        def by(scorer: str, gold_side: bool, further: Mapping[str, Any], **model: Stage) -> Stage:
            settings = {**self._settings, "scorer": scorer, **further}
            words = f"{label} by {scorer}".strip()
            return self.stages.add(kind, run, settings, {**inputs, **model}, label=words, gold_side=gold_side)

        found = [by("gold", True, {"gold": self.config.gold}, gold=self.gold)]
        if self.config.world.has_oracle:
            found.append(by("oracle", True, {}))
        return found + [by(name, False, {}, proxy=proxy) for name, proxy in proxies.items()]
