"""The world's matched completions, on which reward models are audited, valued by one scorer."""

from __future__ import annotations

import pandas as pd

from analysis.records import contracts
from training.stages.score import scorer_of, valued
from training.stages.task import Task
from training.worlds.built_world import BuiltWorld


def score_matched(task: Task) -> None:
    """Value the world's matched completions."""
    prompts, name = task.world.prompts("eval"), task.settings["scorer"]
    matched = task.world.world.matched_completions(prompts)
    table = matched[["item_id", "cluster", "variant", "completion"]].assign(scorer=name, value=0.0)
    if len(matched):  # a very small world may have no fact to ask about
        samples, parsed = as_samples(task.world, matched.rename(columns={"variant": "sample_id"}), prompts)
        table["value"] = valued(
            task.world, name, scorer_of(task), samples, parsed, prompts, "a matched completion"
        )
    contracts.write_table(task.out / "audit.parquet", table, "audit")


def as_samples(
    world: BuiltWorld, said: pd.DataFrame, items: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Completions (columns item_id, sample_id, completion) in the form of samples that ended by themselves,
    and their parse, row for row."""
    tokenizer = world.tokenizer()
    ids = [[*i, tokenizer.eos_token_id] for i in tokenizer(said["completion"].tolist())["input_ids"]]
    samples = said.assign(length=[len(each) for each in ids], finished=True)
    samples["ids"] = ids
    return samples, world.outcomes(samples, items)
