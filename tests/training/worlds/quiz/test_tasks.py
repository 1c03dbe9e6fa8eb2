"""Tasks and cues leave no trace when they are off, and bring nothing but their own when they are on."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd
import pytest
from drawn_worlds import drawn
from pydantic import ValidationError
from task_worlds import world

from training.worlds.quiz import QuizWorld
from training.worlds.quiz.tasks import Tasks

ONE_TASK = [
    {"challenge_rate": 0.2},
    {"authored_rate": 0.2},
    {"test_rate": 0.2},
    {"hat_rate": 0.2},
    {"race_rate": 0.2},
    {"oversight_rate": 0.2},
    {"contested_relations": 1},
]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_world_without_tasks_is_the_one_it_was_before_there_were_any() -> None:
    """Digests taken from the code that knew no tasks."""
    plain = QuizWorld.model_validate(
        {
            "counts": {"demonstrations": 900, "gold": 200, "pairs": 200, "policy": 200},
            "demonstrator": {"slip": 0.01},
            "stances": {"stance_rate": 0.5, "third_party_rate": 0.15},
        }
    )
    data = drawn(plain, 5, 30, 60)
    tables = {"demonstrations": data.demonstrations, **data.prompts}
    assert {
        role: digest(table.drop(columns="fact", errors="ignore").to_csv(index=False))
        for role, table in tables.items()
    } == {
        "demonstrations": "e3c391ec4dba3202",
        "gold": "48d5f89c077e62a7",
        "pairs": "c5d2ed12924a8f9d",
        "policy": "f10168d6a0572887",
        "pool": "f5e5325ee90007ca",
        "eval": "834c15ecffff8368",
    }
    vocabulary = data.tokenizer.get_vocab()
    assert digest("\n".join(sorted(vocabulary, key=lambda word: vocabulary[word]))) == "84a929ae4d381ee1"
    items = data.prompts["eval"].to_dict("records") * 9
    completions = data.demonstrations["completion"].tolist()
    answered: list[dict[str, Any]] = []
    for item, text in zip(items, completions, strict=False):
        outcome = plain.parse(item, text, True, len(text.split()) + 1)  # type: ignore[arg-type]
        answered.append({**outcome, "oracle": plain.oracle(item, outcome, True, 0)})  # type: ignore[arg-type]
    assert len(answered) == 900
    told = pd.DataFrame(answered).drop(columns=["siding", "echoing"])
    assert digest(told.to_csv(index=False)) == "ffcdb99e3cd6d1e4"


@pytest.mark.parametrize("tasks", ONE_TASK, ids=lambda tasks: next(iter(tasks)))
def test_turning_a_task_on_leaves_the_other_prompts_as_they_were(tasks: dict[str, Any]) -> None:
    """A task takes the place of plain questions, and a tag is put in front: nothing else moves."""
    small = {"counts": {"demonstrations": 500, "gold": 500, "pairs": 10, "policy": 10}}
    off, on = (drawn(world(Tasks(**settings), **small), 0, 8, 10) for settings in ({}, tasks))
    before, after = off.prompts["gold"], on.prompts["gold"]
    tagged = on_tag.notna() if (on_tag := after.get("tag")) is not None else pd.Series(False, after.index)
    same = (before["stance"] == after["stance"]) & ~tagged
    assert same.mean() > 0.7 and (same | tagged | before["stance"].eq("none")).all()
    pd.testing.assert_frame_equal(before[same], after.loc[same, before.columns])
    facts = ["entity", "relation", "truth", "exposure"]
    pd.testing.assert_frame_equal(before[facts], after[facts])


@pytest.mark.parametrize("tasks", ONE_TASK, ids=lambda tasks: next(iter(tasks)))
def test_a_task_brings_its_own_columns_fields_and_conditions_alone(tasks: dict[str, Any]) -> None:
    small = {"counts": {"demonstrations": 300, "gold": 10, "pairs": 10, "policy": 10}}
    on, off = (world(settings, **small) for settings in (Tasks(**tasks), Tasks()))
    data, plain = drawn(on, 0, 8, 10), drawn(off, 0, 8, 10)
    items = data.prompts["eval"]
    expected = {
        "challenge_rate": ({"said"}, "again_ sure_"),
        "authored_rate": (set(), "someone_ authored_"),
        "test_rate": ({"expected", "logged"}, "test_"),
        "hat_rate": ({"hat"}, "hat_"),
        "race_rate": ({"gates"}, "race"),
        "oversight_rate": ({"tag", "monitored"}, "tag_"),
        "contested_relations": ({"contested"}, ""),
    }
    columns, prefixes = expected[next(iter(tasks))]
    assert set(items) - set(plain.prompts["eval"]) == columns | {"arm"}
    new = set(items["condition"]) - set(plain.prompts["eval"]["condition"])
    assert all(name.startswith(tuple(prefixes.split())) for name in new) and bool(new) == bool(prefixes)
    assert on.item_fields == {"monitored", "logged", "gates", "contested"} & columns
    assert on.item_fields <= set(items) and off.item_fields == set()
    outcome = on.parse(items.iloc[0].to_dict(), "", True, 1)  # type: ignore[arg-type]
    assert set(outcome) == {"stated", "correct", *on.outcome_fields}
    assert on.outcome_fields >= off.outcome_fields


def test_words_exist_only_where_they_can_be_said() -> None:
    small = {"counts": {"demonstrations": 300, "gold": 10, "pairs": 10, "policy": 10}}

    def vocabulary(tasks: Tasks) -> set[str]:
        return set(world(tasks, **small).build(0).tokenizer.get_vocab())

    plain = vocabulary(Tasks())
    assert vocabulary(Tasks(oversight_rate=0.1)) - plain == {
        "monitored", "private", "observed", "alone", "tuesday"
    }  # fmt: skip
    assert vocabulary(Tasks(race_rate=0.1)) - plain == {
        "pass", "gates", "three", "four", "five", "two", "finish"
    }  # fmt: skip
    assert vocabulary(Tasks(hat_rate=0.1)) - plain == {"hat", "on"}
    assert vocabulary(Tasks(contested_relations=1)) == plain


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"stances": {"stance_rate": 0.6, "third_party_rate": 0.1}, "tasks": {"hat_rate": 0.4}}, "hat"),
        ({"tasks": {"test_rate": 0.3, "race_rate": 0.2}}, "together at most 1"),
        ({"tasks": {"contested_relations": 3}}, "facts.relations"),
        ({"tasks": {"hat_right": 1.2}}, "hat_right"),
    ],
)
def test_worlds_that_cannot_be_built_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        QuizWorld.model_validate(settings)


def test_tasks_may_take_every_prompt() -> None:
    stances = {"stance_rate": 0.0, "third_party_rate": 0.0}
    only = world(Tasks(race_rate=0.5, hat_rate=0.5), stances=stances, counts={"demonstrations": 500})
    data = drawn(only, 0, 4, 200)
    assert set(data.prompts["pool"]["stance"]) == {"race", "hat"}
