"""Points × scorers → scores. With labelling, the only room in which gold is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.records import contracts
from reward_models.annotators import AnyAnnotator
from reward_models.gold.base import Completions, Gold
from training.errors import Diverged
from training.sampling import pairs
from training.stages.approval import Rater
from training.stages.task import Task
from training.worlds.built_world import BuiltWorld

ASKED = ("neutral", "wrong")
"""Conditions under which raters are held to the plain right answer: asked plainly, and where the user
believes what is wrong."""


@dataclass(frozen=True)
class Scorer:
    """Scores points with gold, the oracle where there is one, and the given proxies."""

    world: BuiltWorld
    gold: Gold
    gold_folder: Path
    proxies: Mapping[str, Path]
    """Scorer id ("proxy/<name>/<replicate>") to the folder of its model."""
    batch_size: int
    rater: Rater | None = None
    """Who labelled the pairs of the proxy; None where nobody did, or no plain right answer is known."""

    def score(self, point: Path, items: pd.DataFrame, out: Path) -> None:
        """Write `out`/scores.parquet for the samples and outcomes in the folder `point`, after
        approvals.parquet where there is a rater.

        Raises:
            Diverged: a value is not finite.
        """
        samples = contracts.read_table(point / "samples.parquet", "samples")
        outcomes = contracts.read_table(point / "outcomes.parquet", "outcomes")
        values = self.values(samples, outcomes, items, point.name)
        if self.rater:
            approvals = self.rater.approvals(samples, outcomes, values["gold"])
            contracts.write_table(out / "approvals.parquet", approvals, "approvals")
        key = samples[["item_id", "sample_id"]]
        long = pd.concat(
            [key.assign(scorer=name, value=value) for name, value in values.items()], ignore_index=True
        )
        contracts.write_table(out / "scores.parquet", long, "scores")

    def values(
        self, samples: pd.DataFrame, outcomes: pd.DataFrame, items: pd.DataFrame, where: str
    ) -> dict[str, np.ndarray]:
        """The raw value of every sample by each scorer, in the order of `samples`.

        Args:
            samples: columns item_id, sample_id, completion, ids, finished, length.
            outcomes: their parse, row for row.
            items: the prompts, by item_id.
            where: what is being scored, for an error.

        Raises:
            Diverged: a value is not finite.
        """
        from reward_models.reward import load_cached  # torch: not needed where finished work is reused

        prompts = items.set_index("item_id")["prompt"].loc[samples["item_id"]].tolist()
        oracle = self.world.oracle(samples, outcomes, items)
        completions = Completions(
            prompts=prompts,
            texts=samples["completion"].tolist(),
            prompt_ids=self.world.tokenizer()(prompts)["input_ids"],
            ids=samples["ids"].tolist(),
            oracle=oracle,
        )
        values = {"gold": self.gold.score(self.gold_folder, completions, self.batch_size)}
        if oracle is not None:
            values["oracle"] = oracle
        for name, folder in self.proxies.items():
            values[name] = load_cached(folder).score(completions.sequences(), self.batch_size)
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise Diverged(f"{name} gave {where} a value that is not a finite number")
        return values


def scorer(task: Task) -> Scorer:
    """The scorer that a scoring task describes."""
    from reward_models.gold import AnyGold

    described = Scorer(
        world=task.world,
        gold=task.component(AnyGold, "gold"),
        gold_folder=task.inputs["gold"],
        proxies={name: folder / "model" for name, folder in task.inputs.items() if name.startswith("proxy/")},
        batch_size=task.settings["batch_size"],
    )
    return replace(described, rater=_rater(task, described)) if "annotator" in task.settings else described


def _rater(task: Task, scorer: Scorer) -> Rater | None:
    items = task.world.prompts("eval")
    matched = task.world.world.matched_completions(items)
    plain = matched.loc[matched["variant"] == "right", ["cluster", "completion"]]
    asked = items.loc[items["condition"].isin(ASKED), ["item_id", "cluster"]]
    right = asked.merge(plain, on="cluster").assign(variant="right")
    if right.empty:  # a very small world may have no fact to ask about
        return None
    samples, parsed = _as_samples(task.world, right, items)
    values = scorer.values(samples, parsed, items, "a right answer")
    known = pairs.item_columns(task.world, samples, "eval")
    table = pd.concat([parsed, known], axis=1).assign(length=samples["length"], gold_raw=values["gold"])
    return Rater(
        annotator=task.component(AnyAnnotator, "annotator"),
        labelled=pd.read_parquet(task.inputs["values"] / "values.parquet", columns=["gold_raw", "gold"]),
        right=table.set_index("item_id"),
    )


def items(task: Task) -> pd.DataFrame:
    """The items whose samples a scoring task values."""
    own = task.inputs["samples"] / "items.parquet"
    return pd.read_parquet(own) if own.exists() else task.world.prompts("eval")


def score_points(task: Task) -> None:
    """Score every point of a run, of the pool, or of the reference samples."""
    values, rows = scorer(task), items(task)
    for point in sorted((task.inputs["samples"] / "points").glob("[0-9]*")):
        values.score(point, rows, task.out / "points" / point.name)


def score_matched(task: Task) -> None:
    """Value the world's matched completions, on which reward models are audited, by every scorer."""
    prompts = task.world.prompts("eval")
    matched = task.world.world.matched_completions(prompts)
    columns = matched[["item_id", "cluster", "variant", "completion"]]
    table = columns.assign(scorer="", value=0.0)
    if len(matched):  # a very small world may have no fact to ask about
        samples, parsed = _as_samples(task.world, matched, prompts)
        values = scorer(task).values(samples, parsed, prompts, "a matched completion")
        parts = [columns.assign(scorer=name, value=value) for name, value in values.items()]
        table = pd.concat(parts, ignore_index=True)
    contracts.write_table(task.out / "audit.parquet", table, "audit")


def _as_samples(
    world: BuiltWorld, matched: pd.DataFrame, items: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Matched completions in the form of samples that ended by themselves, and their parse, row for row."""
    tokenizer = world.tokenizer()
    ids = [[*i, tokenizer.eos_token_id] for i in tokenizer(matched["completion"].tolist())["input_ids"]]
    lengths = [len(each) for each in ids]
    samples = matched.assign(sample_id=matched["variant"], length=lengths, finished=True)
    samples["ids"] = ids
    return samples, world.outcomes(samples, items)
