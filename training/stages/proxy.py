"""Proxies: labelled by an annotator, fitted to the labels, checked on held-out pairs."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd

from reward_models import bradley_terry, calibration
from reward_models.annotators import AnyAnnotator
from reward_models.annotators.base import Annotator
from reward_models.bradley_terry import Fit
from reward_models.reward import RewardModel, write_scale
from training.sampling import pairs
from training.sampling.pair_shares import SHARES, choose
from training.stages.pairs import read_pairs
from training.stages.task import Task


def label(task: Task) -> dict[str, Any]:
    """One proxy replicate's pairs, labelled by its annotator: ids alone leave the gold side."""
    annotator: Annotator = task.component(AnyAnnotator, "annotator")
    count, index = task.settings["count"], task.settings["labels"]
    chosen_by = SHARES.keys() & task.settings.keys()
    table, values = _chunks(task, "pairs"), _chunks(task, "values")
    if not chosen_by:
        table, values = table.iloc[: 2 * count], values.iloc[: 2 * count]
    rng = np.random.default_rng(task.stream("labels", index))
    # Labelled before any choice among them, so that a pair has one label whatever it is chosen with.
    verdicts = pairs.label(annotator, values, rng)
    for field in chosen_by:
        items = task.world.prompts("pairs").set_index("item_id").loc[table["item_id"].iloc[::2]]
        rng = np.random.default_rng(task.stream(field, index))
        kept = choose(items, count, field, task.settings[field], rng)
        table, values = pairs.take(table, kept), pairs.take(values, kept)
        verdicts = verdicts[kept]
    chosen, rejected = pairs.ordered(table, verdicts)
    prompt_tokens = [len(ids) for ids in table["prompt_ids"].iloc[::2]]
    pd.DataFrame({"prompt_tokens": prompt_tokens, "chosen_ids": chosen, "rejected_ids": rejected}).to_parquet(
        task.out / "preferences.parquet"
    )
    value = values["value"].to_numpy()
    return {"disagrees_with_judge": float((verdicts != (value[0::2] > value[1::2])).mean())}


def _chunks(task: Task, kind: str) -> pd.DataFrame:
    """`pairs` or `values` of all chunks that are inputs, in order."""
    numbers = sorted(int(name.partition("/")[2]) for name in task.inputs if name.startswith(f"{kind}/"))
    tables = [pd.read_parquet(task.inputs[f"{kind}/{number}"] / f"{kind}.parquet") for number in numbers]
    return pd.concat(tables, ignore_index=True)


def fit_proxy(task: Task) -> None:
    """Train a proxy on its labels, and find its mean and spread on fresh samples of π_ref."""
    preferences = pd.read_parquet(task.inputs["labels"] / "preferences.parquet")
    bradley_terry.train(
        task.out,
        backbone=task.inputs["backbone"] / "model",
        chosen=[list(i) for i in preferences["chosen_ids"]],
        rejected=[list(i) for i in preferences["rejected_ids"]],
        fit=task.component(Fit, "fit"),
        seed=task.stream("proxy", task.settings["head"]),
        report=task.journal,
    )
    fresh = read_pairs(task.inputs["heldout"], task.settings["heldout"])
    model = RewardModel.load(task.out / "model")
    write_scale(task.out / "model", model.score(pairs.sequences(fresh), task.settings["batch_size"]))


def copy_gold(task: Task) -> None:
    """Gold as a proxy, for a control: its model, with its mean and spread on fresh samples of π_ref."""
    shutil.copytree(task.inputs["gold"] / "model", task.out / "model")
    fresh = read_pairs(task.inputs["heldout"], task.settings["heldout"])
    model = RewardModel.load(task.out / "model")
    write_scale(task.out / "model", model.score(pairs.sequences(fresh), task.settings["batch_size"]))


def card(task: Task) -> None:
    """A proxy's calibration card, on held-out pairs labelled by its own annotator."""
    table = read_pairs(task.inputs["heldout"], task.settings["heldout"])
    judges = [name for name in ("gold", "oracle") if f"values/{name}" in task.inputs]
    values = {name: pd.read_parquet(task.inputs[f"values/{name}"] / "values.parquet") for name in judges}
    raw = {name: table["raw"].to_numpy().reshape(-1, 2) for name, table in values.items()}
    annotator: Annotator = task.component(AnyAnnotator, "annotator")
    rng = np.random.default_rng(task.stream("heldout labels", task.settings["labels"]))
    labels = pairs.label(annotator, values[annotator.judge("oracle" in values)], rng)
    rewards = RewardModel.load(task.inputs["proxy"] / "model").score(
        pairs.sequences(table), task.settings["batch_size"]
    )
    written = calibration.card(
        name=task.settings["name"],
        kind="proxy",
        pairs=task.settings["pairs"],
        rewards=rewards.reshape(-1, 2),
        lengths=table["length"].to_numpy().reshape(-1, 2),
        labels=labels,
        oracle=raw.get("oracle"),
        gold=raw["gold"],
    )
    (task.out / "card.json").write_text(json.dumps(written, allow_nan=False))
