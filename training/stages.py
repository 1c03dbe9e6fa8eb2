"""The stages of an experiment, one function each: a task in, an artefact's files out."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd

from reward_models import bradley_terry, calibration
from reward_models.annotators import AnyAnnotator
from reward_models.backbone import AnyModel, Sft
from reward_models.bradley_terry import Fit
from reward_models.gold import AnyGold, Trained
from reward_models.reward import RewardModel, write_scale
from training import pairs, sample, sft
from training.budget import AnyControl
from training.methods import AnyMethod
from training.methods.job import PolicyJob
from training.mitigations import AnyMitigation
from training.observe import publish
from training.selection import SHARES, choose
from training.task import Task
from training.worlds import AnyWorld, artefact


def build_world(task: Task) -> None:
    """Draw the world: tokenizer, demonstrations, prompts of every role."""
    world = task.component(AnyWorld, "world")
    data = world.build(
        task.stream("world"),
        eval_items=task.settings["eval_items"],
        pool_prompts=task.settings["pool_prompts"],
    )
    artefact.save(world, data, task.out)


def fine_tune(task: Task) -> None:
    """Fine-tune π_ref, or a reward model's backbone, on the demonstrations."""
    sft.train(
        task.out,
        model=task.component(AnyModel, "model"),
        sft=task.component(Sft, "sft"),
        world=task.world,
        init_seed=task.stream("init"),
        data_seed=task.stream("demonstrations"),
        report=task.journal,
    )


def sample_pairs(task: Task) -> None:
    """Sample pairs of completions from π_ref on the prompts of one role."""
    role, count = task.settings["role"], task.settings["count"]
    table = pairs.sample(
        task.world,
        task.inputs["reference"] / "model",
        role,
        count,
        task.stream("pairs", role),
        task.settings["batch_size"],
    )
    table.to_parquet(task.out / "pairs.parquet", compression="zstd")


def _read_pairs(task: Task, name: str, start: int, count: int) -> pd.DataFrame:
    table = pd.read_parquet(task.inputs[name] / "pairs.parquet")
    return table.iloc[2 * start : 2 * (start + count)].reset_index(drop=True)


def fit_gold(task: Task) -> None:
    """Train gold on clean labels (unless it comes trained) and write its card from held-out pairs."""
    gold: Any = task.component(AnyGold, "gold")
    training, labels, heldout, heldout_labels = _clean_labels(task)
    trained_on = 0
    if isinstance(gold, Trained):
        trained_on = min(gold.pairs, len(labels))
        chosen, rejected = pairs.ordered(training[: 2 * trained_on], labels[:trained_on])
        bradley_terry.train(
            task.out,
            backbone=task.inputs["backbone"] / "model",
            chosen=chosen,
            rejected=rejected,
            fit=gold.fit,
            seed=task.stream("gold"),
            report=task.journal,
        )
    oracle = _oracle(task, heldout, "gold")
    rewards = gold.score(task.out, pairs.completions(heldout, oracle), task.settings["batch_size"])
    card = calibration.card(
        name="gold",
        kind="gold",
        pairs=trained_on,
        rewards=rewards.reshape(-1, 2),
        lengths=heldout["length"].to_numpy().reshape(-1, 2),
        labels=heldout_labels,
        oracle=None if oracle is None else oracle.reshape(-1, 2),
        gold=None,
    )
    (task.out / "card.json").write_text(json.dumps(card))


def _clean_labels(task: Task) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """Training pairs with labels, then held-out pairs with labels (True: the first completion is better).

    The labels are the best the world has: the oracle's order (ties left out), or people's preferences, of
    which at most a fifth is held out.
    """
    preferences = task.world.preferences()
    if preferences is not None:
        kept = min(task.settings["heldout"], len(preferences) // 5)
        tables = preferences.iloc[kept:], preferences.iloc[:kept]
        training, heldout = (pairs.from_preferences(task.world, part) for part in tables)
        return training, np.ones(len(tables[0]), bool), heldout, np.ones(len(tables[1]), bool)
    table = pd.read_parquet(task.inputs["pairs"] / "pairs.parquet")
    values = _oracle(task, table, "gold")
    assert values is not None, "a world without human preferences has an oracle"
    margin = values[0::2] - values[1::2]
    held = np.arange(len(margin)) < task.settings["heldout"]
    parts: list[Any] = []
    for part in (~held & (margin != 0), held & (margin != 0)):
        parts += [table[np.repeat(part, 2)].reset_index(drop=True), margin[part] > 0]
    return parts[0], parts[1], parts[2], parts[3]


def _oracle(task: Task, table: pd.DataFrame, role: str) -> np.ndarray | None:
    if not task.world.world.has_oracle:
        return None
    return pairs.oracle(task.world, table, pairs.outcomes(task.world, table, role), role)


def value_pairs(task: Task) -> None:
    """What the gold side knows of sampled pairs: gold (raw and standardised on π_ref), oracle, parse."""
    role = task.settings["role"]
    gold: Any = task.component(AnyGold, "gold")
    table = _read_pairs(task, "pairs", 0, task.settings["count"])
    parsed = pairs.outcomes(task.world, table, role)
    oracle = pairs.oracle(task.world, table, parsed, role)
    raw = gold.score(task.inputs["gold"], pairs.completions(table, oracle), task.settings["batch_size"])
    values = parsed.drop(columns=["item_id", "sample_id"])
    values = pd.concat([values, pairs.item_columns(task.world, table, role)], axis=1)
    values["gold_raw"] = raw
    values["gold"] = (raw - raw.mean()) / raw.std()
    values["length"] = table["length"]
    if oracle is not None:
        values["oracle"] = oracle
    values.to_parquet(task.out / "values.parquet", compression="zstd")


def label(task: Task) -> dict[str, Any]:
    """One proxy replicate's share of the pairs, labelled by its annotator: ids alone leave the gold side."""
    annotator: Any = task.component(AnyAnnotator, "annotator")
    start, count = task.settings["start"], task.settings["count"]
    window = task.settings.get("window", count)
    table = _read_pairs(task, "pairs", start, window)
    values = pd.read_parquet(task.inputs["values"] / "values.parquet").iloc[2 * start : 2 * (start + window)]
    rng = np.random.default_rng(task.stream("labels", task.settings["replicate"]))
    # Labelled before any choice among them, so that a pair has one label whatever it is chosen with.
    verdicts = pairs.label(annotator, values, rng)
    for field in SHARES.keys() & task.settings.keys():
        items = task.world.prompts("pairs").set_index("item_id").loc[table["item_id"].iloc[::2]]
        rng = np.random.default_rng(task.stream(field, task.settings["replicate"]))
        kept = choose(items, count, field, task.settings[field], rng)
        table, values = pairs.take(table, kept), pairs.take(values, kept)
        verdicts = verdicts[kept]
    chosen, rejected = pairs.ordered(table, verdicts)
    prompt_tokens = [len(ids) for ids in table["prompt_ids"].iloc[::2]]
    pd.DataFrame({"prompt_tokens": prompt_tokens, "chosen_ids": chosen, "rejected_ids": rejected}).to_parquet(
        task.out / "preferences.parquet"
    )
    gold = values["gold"].to_numpy()
    return {"disagrees_with_gold": float((verdicts != (gold[0::2] > gold[1::2])).mean())}


def fit_proxy(task: Task) -> None:
    """Train a proxy on its labels, and find its mean and spread on fresh samples of π_ref."""
    preferences = pd.read_parquet(task.inputs["labels"] / "preferences.parquet")
    bradley_terry.train(
        task.out,
        backbone=task.inputs["backbone"] / "model",
        chosen=[list(i) for i in preferences["chosen_ids"]],
        rejected=[list(i) for i in preferences["rejected_ids"]],
        fit=task.component(Fit, "fit"),
        seed=task.stream("proxy", task.settings["replicate"]),
        report=task.journal,
    )
    fresh = _read_pairs(task, "heldout", 0, task.settings["heldout"])
    model = RewardModel.load(task.out / "model")
    write_scale(task.out / "model", model.score(pairs.sequences(fresh), task.settings["batch_size"]))


def copy_gold(task: Task) -> None:
    """Gold as a proxy, for a control: its model, with its mean and spread on fresh samples of π_ref."""
    shutil.copytree(task.inputs["gold"] / "model", task.out / "model")
    fresh = _read_pairs(task, "heldout", 0, task.settings["heldout"])
    model = RewardModel.load(task.out / "model")
    write_scale(task.out / "model", model.score(pairs.sequences(fresh), task.settings["batch_size"]))


def card(task: Task) -> None:
    """A proxy's calibration card, on held-out pairs labelled by its own annotator."""
    table = _read_pairs(task, "heldout", 0, task.settings["heldout"])
    values = pd.read_parquet(task.inputs["values"] / "values.parquet")
    rng = np.random.default_rng(task.stream("heldout labels", task.settings["replicate"]))
    labels = pairs.label(task.component(AnyAnnotator, "annotator"), values, rng)
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
        oracle=values["oracle"].to_numpy().reshape(-1, 2) if "oracle" in values else None,
        gold=values["gold"].to_numpy().reshape(-1, 2),
    )
    (task.out / "card.json").write_text(json.dumps(written))


def sample_reference(task: Task) -> None:
    """π_ref's samples of the prompts that decide what it knows, or of the best-of-n pool."""
    items = task.world.prompts(task.settings["role"])
    if condition := task.settings["condition"]:
        items = items[items["condition"] == condition].reset_index(drop=True)
    drawn = sample.draw(
        sample.load_policy(task.inputs["reference"] / "model"),
        None,
        task.world.tokenizer(),
        items,
        samples=task.settings["samples"],
        max_tokens=task.world.max_completion_tokens,
        seed=task.stream("reference", task.settings["role"], task.settings["condition"] or "all"),
        batch_size=task.settings["batch_size"],
    )
    items.to_parquet(task.out / "items.parquet")
    publish(task.out / "points" / "000000", drawn, task.world.outcomes(drawn, items))


def train_policy(task: Task) -> None:
    """Optimise one policy against one proxy; gold is neither an input nor within reach."""
    method: Any = task.component(AnyMethod, "policy")
    method.train(
        PolicyJob(
            out=task.out,
            world=task.world,
            reference=task.inputs["reference"] / "model",
            proxy=task.inputs["proxy"] / "model",
            labels=task.inputs["labels"] / "preferences.parquet" if "labels" in task.inputs else None,
            mitigation=task.component(AnyMitigation | None, "mitigation"),
            control=task.component(AnyControl, "control"),
            budget=task.settings["budget"],
            steps=task.settings["steps"],
            seed=task.stream("policy", task.settings["replicate"]),
            observe_seed=task.stream("observe"),
            batch_size=task.settings["batch_size"],
            measure=task.settings["measure"],
            journal=task.journal,
            keep_weights=task.settings.get("keep_weights", False),
            hidden_states=task.settings.get("hidden_states", False),
        )
    )
