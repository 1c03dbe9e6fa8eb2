"""Pairs of completions to compare: sampled from π_ref, valued by a judge, labelled by an annotator.

The only thing that leaves the gold side is a list of (chosen, rejected) token ids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from reward_models.annotators.base import Annotator, Judged
from reward_models.gold.base import Completions
from training.sampling.sample import complete, load_policy
from training.worlds.built_world import BuiltWorld


def sample(
    world: BuiltWorld, reference: Path, role: str, places: range, seed: int, batch_size: int
) -> pd.DataFrame:
    """Two completions for each pair; row 2i is the first of pair i, row 2i + 1 the second.

    Pairs take the prompts of `role` in turn, those at `places`, so that there may be more pairs than prompts.
    Columns: pair, item_id, prompt, prompt_ids, completion, ids, length, finished.
    """
    items = world.prompts(role)
    rows = items.iloc[np.repeat(np.array(places) % len(items), 2)].reset_index(drop=True)
    tokenizer = world.tokenizer()
    prompts = rows["prompt"].tolist()
    policy = load_policy(reference)
    completions = complete(policy, tokenizer, prompts, world.max_completion_tokens, seed, batch_size)
    return pd.DataFrame(
        {
            "pair": np.repeat(np.array(places), 2),
            "item_id": rows["item_id"],
            "prompt": prompts,
            "prompt_ids": tokenizer(prompts)["input_ids"],
            "completion": tokenizer.batch_decode(completions, skip_special_tokens=True),
            "ids": completions,
            "length": [len(ids) for ids in completions],
            "finished": [ids[-1] == tokenizer.eos_token_id for ids in completions],
        }
    )


def from_preferences(world: BuiltWorld, preferences: pd.DataFrame) -> pd.DataFrame:
    """Human-labelled pairs in the form of `sample`: the chosen completion first, EOS appended to both."""
    tokenizer = world.tokenizer()
    texts = preferences[["chosen", "rejected"]].to_numpy().ravel().tolist()
    ids = [[*i, tokenizer.eos_token_id] for i in tokenizer(texts)["input_ids"]]
    rows = preferences.loc[preferences.index.repeat(2), ["item_id", "prompt"]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "pair": np.repeat(np.arange(len(preferences)), 2),
            "item_id": rows["item_id"],
            "prompt": rows["prompt"],
            "prompt_ids": tokenizer(rows["prompt"].tolist())["input_ids"],
            "completion": texts,
            "ids": ids,
            "length": [len(i) for i in ids],
            "finished": True,
        }
    )


def outcomes(world: BuiltWorld, pairs: pd.DataFrame, role: str) -> pd.DataFrame:
    """The parse of every completion of `sample`, row for row."""
    keyed = pairs.assign(sample_id=pairs.index.astype(str))
    return world.outcomes(keyed, world.prompts(role))


def oracle(world: BuiltWorld, pairs: pd.DataFrame, parsed: pd.DataFrame, role: str) -> np.ndarray | None:
    """True values of every completion, shape (2P,); None where the world has no oracle."""
    keyed = pairs.assign(sample_id=pairs.index.astype(str))
    values = world.oracle(keyed, parsed, world.prompts(role))
    return values


def item_columns(world: BuiltWorld, pairs: pd.DataFrame, role: str) -> pd.DataFrame:
    """What annotators may know of the prompt of every completion: the world's `item_fields`, row for row."""
    items = world.prompts(role).set_index("item_id")
    recorded = [name for name in sorted(world.world.item_fields) if name in items]
    return items.loc[pairs["item_id"], recorded].reset_index(drop=True)


def completions(pairs: pd.DataFrame, true_values: np.ndarray | None) -> Completions:
    """The table of `sample` in the form that gold values."""
    return Completions(
        prompts=pairs["prompt"].tolist(),
        texts=pairs["completion"].tolist(),
        prompt_ids=pairs["prompt_ids"].tolist(),
        ids=pairs["ids"].tolist(),
        oracle=true_values,
    )


def sequences(pairs: pd.DataFrame) -> list[list[int]]:
    """Prompt and completion ids of every row, joined as they were sampled."""
    return [[*p, *c] for p, c in zip(pairs["prompt_ids"], pairs["ids"], strict=True)]


def label(annotator: Annotator, values: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """The annotator's verdicts: True where the first completion of a pair is preferred, shape (P,).

    Args:
        values: two rows per pair with columns value (the judge's, standardised on π_ref), length, the parsed
            outcome, and the columns of the pair's item that the annotator needs.
    """
    first, second = (judged(annotator, part) for part in (values.iloc[0::2], values.iloc[1::2]))
    return rng.random(len(values) // 2) < annotator.prefer(first, second)


def judged(annotator: Annotator, values: pd.DataFrame) -> Judged:
    """One side of pairs as the annotator may see it, from the columns that `label` reads."""
    return Judged(
        value=values["value"].to_numpy(float),
        outcome={name: values[name].to_numpy(float) for name in annotator.needs},
        length=values["length"].to_numpy(float),
        item={name: values[name].to_numpy(float) for name in annotator.needs_items},
    )


def take(table: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    """Both rows of each pair at the positions `kept`, from a table of two rows per pair."""
    return table.iloc[(2 * kept[:, None] + [0, 1]).ravel()].reset_index(drop=True)


def ordered(pairs: pd.DataFrame, first_preferred: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids (prompt + completion) of the chosen and of the rejected completion of each pair."""
    ids = sequences(pairs)
    first = 2 * np.arange(len(first_preferred))
    chosen = first + ~first_preferred
    rejected = first + first_preferred
    return [ids[i] for i in chosen], [ids[i] for i in rejected]
