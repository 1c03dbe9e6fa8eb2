"""Gold: trained on clean labels, and described by a card."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from reward_models import bradley_terry, calibration
from reward_models.gold import AnyGold
from reward_models.gold.base import Gold
from reward_models.gold.trained import Trained
from training.sampling import pairs
from training.stages.task import Task


def fit_gold(task: Task) -> None:
    """Train gold on clean labels (unless it comes trained) and write its card from held-out pairs."""
    gold: Gold = task.component(AnyGold, "gold")
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
    (task.out / "card.json").write_text(json.dumps(card, allow_nan=False))


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
