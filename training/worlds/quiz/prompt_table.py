"""Prompts in numbers, in words, and as items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from training.worlds.quiz import wording
from training.worlds.quiz.conditions import Condition
from training.worlds.quiz.facts import EXPOSURES, DrawnFacts
from training.worlds.quiz.stances import (
    AGAIN,
    CHALLENGE,
    CLAIMED,
    HAT,
    JUDGED,
    NONE,
    OWN,
    RACE,
    STANCES,
    STRENGTHS,
    TEST,
)
from training.worlds.quiz.tasks import MONITORED, NO_TAG, TAGS, Tasks


@dataclass(frozen=True)
class Asked:
    """Prompts in numbers: parallel arrays of shape (P,); integers are indices into the worlds' tables."""

    fact: np.ndarray
    wording: np.ndarray
    stance: np.ndarray
    value: np.ndarray
    """The value that the prompt names (believed, said, expected, under the hat); −1 for none."""
    truthful: np.ndarray
    """Whether that value is the truth."""
    strength: np.ndarray
    """Meaningful for the user's own belief."""
    person: np.ndarray
    """Meaningful for a third party's."""
    doubts: np.ndarray
    """How often a challenge asks "are you sure ?"; 1 elsewhere."""
    logged: np.ndarray
    """Whether the edits of a test are logged; false elsewhere."""
    tag: np.ndarray
    """−1 for none."""
    tag_last: np.ndarray
    """Whether the tag stands behind the question; in front of it elsewhere."""
    gates: np.ndarray
    """Meaningful for a race, as is its opening."""
    opening: np.ndarray

    def take(self, rows: np.ndarray, **changes: np.ndarray) -> Asked:
        """The given rows, with some columns replaced."""
        kept = {f.name: getattr(self, f.name)[rows] for f in fields(self)}
        return Asked(**{**kept, **changes})

    def records(self) -> list[dict[str, Any]]:
        """One mapping per prompt."""
        names = [field.name for field in fields(self)]
        columns = (getattr(self, name).tolist() for name in names)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def named(stance: np.ndarray, value: np.ndarray) -> np.ndarray:
    """`value`, where prompts of the stance name one; −1 elsewhere."""
    return np.where((stance == NONE) | (stance == RACE), -1, value)


def texts(asked: Asked, facts: DrawnFacts) -> list[str]:
    """The prompts in words."""
    names = facts.settings.lexicon
    values = facts.value_names(asked.fact, asked.value)
    written = []
    for value, row in zip(values, asked.records(), strict=True):
        if row["stance"] == RACE:
            parts = [wording.race(row["opening"], row["gates"])]
        else:
            entity, relation = divmod(row["fact"], len(names.relations))
            parts = [wording.question(row["wording"], names.relations[relation], names.entities[entity])]
        if row["tag"] != NO_TAG:
            # Behind the question, not behind everything: a prompt that ends in a way no prompt ever ended
            # throws a policy off whatever the tag says.
            parts.insert(int(row["tag_last"]), wording.TAG.format(tag=TAGS[row["tag"]]))
        if value is not None:
            says = (row[name] for name in ("strength", "person", "doubts", "logged"))
            parts.append(wording.cue(row["stance"], value, *says))
        written.append(" ".join(parts))
    return written


def items(
    asked: Asked, facts: DrawnFacts, tasks: Tasks, conditions: Mapping[tuple[Any, ...], str]
) -> pd.DataFrame:
    """The prompts as items: prompt and the world's own columns (None where a column does not apply).

    Args:
        conditions: the name of each matched condition by its `Condition.key`.
    """
    names, relations = facts.settings.lexicon, facts.settings.relations
    stance = np.array(STANCES, dtype=object)[asked.stance]
    strengths = np.array(STRENGTHS, dtype=object)[asked.strength]
    # To doubt an answer is to believe that it was wrong.
    correct = (asked.truthful != (asked.stance == CHALLENGE)).astype(object)
    columns: dict[str, Any] = {
        "prompt": texts(asked, facts),
        "entity": np.array(names.entities, dtype=object)[asked.fact // relations],
        "relation": np.array(names.relations, dtype=object)[asked.fact % relations],
        "fact": asked.fact.astype(str),
        "truth": pd.Series(facts.value_names(asked.fact, facts.truth[asked.fact]), dtype=object),
        "exposure": np.array(EXPOSURES, dtype=object)[facts.exposure[asked.fact]],
        "answerable": facts.answerable[asked.fact],
        "stance": stance,
        "belief": _named_by(asked, facts, *CLAIMED),
        "belief_correct": np.where(np.isin(asked.stance, JUDGED), correct, None),
        "strength": pd.Series(np.where(asked.stance == OWN, strengths, None), dtype=object),
    }
    return pd.DataFrame(columns | _task_columns(asked, facts, tasks, conditions))


def _task_columns(
    asked: Asked, facts: DrawnFacts, tasks: Tasks, conditions: Mapping[tuple[Any, ...], str]
) -> dict[str, Any]:
    """The columns of what is on."""
    columns: dict[str, Any] = {}
    if tasks.challenge_rate > 0:
        columns["said"] = _named_by(asked, facts, AGAIN, CHALLENGE)
    if tasks.test_rate > 0:
        columns["expected"] = _named_by(asked, facts, TEST)
        columns["logged"] = asked.logged
    if tasks.hat_rate > 0:
        columns["hat"] = _named_by(asked, facts, HAT)
    if tasks.oversight_rate > 0:
        # The last entry is that of −1.
        columns["tag"] = pd.Series(np.array([*TAGS, None], dtype=object)[asked.tag], dtype=object)
        columns["monitored"] = asked.tag == MONITORED
    if tasks.race_rate > 0:
        columns["gates"] = np.where(asked.stance == RACE, asked.gates, 0)
    if tasks.contested_relations > 0:
        relations = facts.settings.relations
        columns["contested"] = asked.fact % relations >= relations - tasks.contested_relations
    if tasks.any:
        keys = (tuple(row[name] for name in Condition.KEY) for row in asked.records())
        columns["arm"] = [conditions[key] for key in keys]
    return columns


def _named_by(asked: Asked, facts: DrawnFacts, *stances: int) -> pd.Series:
    """The value that each prompt names, where it is of one of the given stances."""
    value = np.where(np.isin(asked.stance, stances), asked.value, -1)
    return pd.Series(facts.value_names(asked.fact, value), dtype=object)
