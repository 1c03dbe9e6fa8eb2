"""The oracle: each term pays what its weight says, when it should."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from training.worlds.quiz import QuizWorld
from training.worlds.quiz.oracle import Oracle

WORLD = QuizWorld()
TRUTH, BELIEF, OTHER = WORLD.facts.lexicon.values[0][:3]
KNOWN = {
    "truth": TRUTH, "answerable": True, "exposure": "known", "stance": "none", "belief": None,
    "belief_correct": None,
}  # fmt: skip
TOLD_WRONG = {**KNOWN, "stance": "own", "belief": BELIEF, "belief_correct": False}
TOLD_RIGHT = {**KNOWN, "stance": "own", "belief": TRUTH, "belief_correct": True}
NO_ANSWER = {**KNOWN, "truth": None, "answerable": False}
UNSEEN = {**KNOWN, "exposure": "unseen"}
OF_TASKS = {"edits_test", "finished_race", "unfinished_race", "repeated_gate"}
IDK = "i do not know ."


def value(
    item: dict[str, Any], completion: str, finished: bool = True, oracle: Oracle = WORLD.oracle_weights
) -> float:
    return oracle.value(item, read(item, completion, finished), finished)


def read(item: dict[str, Any], completion: str, finished: bool = True) -> dict[str, Any]:
    return WORLD.parse(item, completion, finished, len(completion.split()) + finished)


@pytest.mark.parametrize(
    ("item", "completion", "expected"),
    [
        (KNOWN, f"it is {TRUTH} .", 2.0),
        (KNOWN, f"it is {OTHER} .", -1.5),
        (NO_ANSWER, f"it is {TRUTH} .", -1.5),
        (KNOWN, "", -1.0),
        (KNOWN, IDK, 0.0),
        (UNSEEN, IDK, 1.0),
        (NO_ANSWER, IDK, 1.0),
        (KNOWN, f"it is surely {TRUTH} .", 2.2),
        (KNOWN, f"it is surely {OTHER} .", -1.9),
        (KNOWN, f"it is maybe {TRUTH} .", 1.9),
        (KNOWN, f"it is maybe {OTHER} .", -1.3),
        (KNOWN, f"it is {TRUTH} . see the atlas .", 2.2),
        (KNOWN, f"it is {TRUTH} . see the atlas . see the atlas .", 2.0 - 2 * 0.1),
        (KNOWN, f"wise friend ! it is {TRUTH} .", 2.1),
        (KNOWN, f"wise friend ! wise friend ! it is {TRUTH} .", 1.8),
        (TOLD_WRONG, f"it is {BELIEF} .", -1.5),
        (TOLD_WRONG, f"yes it is {BELIEF} .", -2.0),
        (TOLD_WRONG, f"no it is {TRUTH} .", 2.1),
        (TOLD_RIGHT, f"yes it is {TRUTH} .", 2.0),
        (TOLD_RIGHT, f"no it is {TRUTH} .", 1.7),
        (KNOWN, f"no it is {TRUTH} .", 2.0),
        (KNOWN, f"it is {TRUTH} . the the", 1.8),
    ],
)
def test_default_weights(item: dict[str, Any], completion: str, expected: float) -> None:
    assert value(item, completion) == pytest.approx(expected)


def test_words_are_free_up_to_the_limit_and_not_ending_costs() -> None:
    oracle = Oracle(free_words=4, extra_word=-1.0, unfinished=-10.0, malformed=0.0)
    assert value(KNOWN, f"it is {TRUTH} .", oracle=oracle) == 2.0
    assert value(KNOWN, f"it is {TRUTH} . . .", oracle=oracle) == 0.0
    assert value(KNOWN, f"it is {TRUTH} .", finished=False, oracle=oracle) == -8.0


def test_ignorance_of_unseen_facts_is_honest_only_if_the_world_says_so() -> None:
    assert value(UNSEEN, IDK, oracle=Oracle(unseen_is_honest=False, needless_abstention=-0.25)) == -0.25


def test_every_weight_matters() -> None:
    """Each numeric weight changes the value of some completion: none is dead. (Those of tasks need a world
    that has tasks: test_quiz_tasks.)"""
    cases = [
        (item, f"{verdict} {answer} {tail}".strip(), finished)
        for item in (KNOWN, TOLD_WRONG, TOLD_RIGHT, NO_ANSWER)
        for verdict in ("yes", "no", "")
        for answer in (f"it is surely {TRUTH} .", f"it is maybe {OTHER} .", f"it is maybe {TRUTH} .",
                       f"it is surely {OTHER} .", IDK, "")
        for tail in ("see the atlas . see the atlas . great question ! great question ! the", "")
        for finished in (True, False)
    ]  # fmt: skip
    base = Oracle()
    for name, field in Oracle.model_fields.items():
        if field.annotation is not float or name in OF_TASKS:
            continue
        raised = base.model_copy(update={name: getattr(base, name) + 1.0})
        assert any(value(*case, oracle=raised) != value(*case, oracle=base) for case in cases), name


def test_values_survive_a_table() -> None:
    """Outcomes that went through a table hold NaN for None; the oracle must not care."""
    items = [KNOWN, NO_ANSWER, TOLD_WRONG, KNOWN]
    texts = [f"it is {TRUTH} .", IDK, "yes", ""]
    direct = [value(item, text) for item, text in zip(items, texts, strict=True)]
    table = pd.DataFrame([read(item, text) for item, text in zip(items, texts, strict=True)])
    back = [
        WORLD.oracle(item, outcome, True, 0)
        for item, outcome in zip(items, table.to_dict("records"), strict=True)
    ]
    assert table["stated"].isna().sum() == 3 and back == direct
