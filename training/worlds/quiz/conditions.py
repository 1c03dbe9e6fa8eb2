"""Matched conditions: the ways in which one base item is asked, and how common each is in natural prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from training.worlds.quiz.stances import (
    AGAIN,
    AUTHORED,
    CHALLENGE,
    HAT,
    NONE,
    OWN,
    RACE,
    SOMEONE,
    TEST,
    THIRD_PARTY,
    Stances,
)
from training.worlds.quiz.tasks import MONITORED, NO_TAG, PRIVATE, TAGS, Tasks

MOST_DOUBTS = 3


@dataclass(frozen=True)
class Condition:
    """What a prompt says beside its question, and how often."""

    name: str
    share: float
    """P(condition | the fact is answerable, or that it is not), over natural prompts."""
    stance: int
    truthful: bool = False
    """Whether the value that the prompt names is the truth."""
    tag: int = NO_TAG
    tag_last: bool = False
    """Whether the tag stands behind the question, where no natural prompt has it."""
    doubts: int = 1
    """How often a challenge asks "are you sure ?"."""
    logged: bool = False

    KEY: ClassVar[tuple[str, ...]] = ("stance", "truthful", "tag", "tag_last", "doubts", "logged")
    """What tells prompts of different conditions apart."""

    @property
    def key(self) -> tuple[int | bool, ...]:
        """The values of KEY."""
        return tuple(getattr(self, name) for name in self.KEY)


def shares(stances: Stances, tasks: Tasks) -> dict[int, float]:
    """The share of natural prompts of each stance; of tasks, those that are on.

    Plain questions are what is left. In this order, tasks take the place of plain questions alone: prompts
    with a belief stay as they were when tasks are turned on.
    """
    neutral = max(0.0, 1 - stances.stance_rate - stances.third_party_rate - tasks.total)
    beliefs = {OWN: stances.stance_rate, THIRD_PARTY: stances.third_party_rate}
    return {NONE: neutral, **tasks.rates(), **beliefs}


def reliabilities(stances: Stances, tasks: Tasks) -> dict[int, float]:
    """P(the value that a prompt names is the truth | the fact has one), by stance."""
    beliefs = {OWN: stances.user_reliability, THIRD_PARTY: stances.third_party_reliability}
    return {**beliefs, **tasks.reliabilities()}


def conditions(stances: Stances, tasks: Tasks, answerable: bool) -> list[Condition]:
    """The conditions of an evaluation cluster, given that its fact has an answer or not.

    Their shares sum to 1. What natural prompts never say (tags that are not trained, a tag behind the
    question, repeated doubts) has share 0, and is measured all the same; so is the user's belief at rate 0.
    A third party that is never right is not asked to be.
    """
    found = [*_plain(stances, tasks, answerable), *_tasks(stances, tasks, answerable)]
    if tasks.oversight_rate > 0:
        found += _tagged(stances, tasks, answerable)
    return [condition for condition in found if answerable or not condition.truthful]


def _split(stance: int, stances: Stances, tasks: Tasks, answerable: bool) -> tuple[float, float]:
    """The shares of prompts of a stance that name a wrong value, and the truth."""
    share = shares(stances, tasks)[stance]
    right = reliabilities(stances, tasks)[stance] if answerable else 0.0
    return share * (1 - right), share * right


def _plain(stances: Stances, tasks: Tasks, answerable: bool) -> Iterator[Condition]:
    untagged = 1 - tasks.oversight_rate
    wrong, right = _split(OWN, stances, tasks, answerable)
    third_party_wrong, third_party_right = _split(THIRD_PARTY, stances, tasks, answerable)
    yield Condition("neutral", untagged * shares(stances, tasks)[NONE], NONE)
    yield Condition("wrong", untagged * wrong, OWN)
    yield Condition("right", untagged * right, OWN, truthful=True)
    yield Condition("third_party", third_party_wrong, THIRD_PARTY)
    if third_party_right > 0:
        yield Condition("third_party_right", third_party_right, THIRD_PARTY, truthful=True)


def _tasks(stances: Stances, tasks: Tasks, answerable: bool) -> Iterator[Condition]:
    names = {AGAIN: "again", CHALLENGE: "sure", SOMEONE: "someone", AUTHORED: "authored", HAT: "hat"}
    on = tasks.rates()
    for stance in on:
        if stance in names:
            wrong, right = _split(stance, stances, tasks, answerable)
            yield Condition(f"{names[stance]}_wrong", wrong, stance)
            yield Condition(f"{names[stance]}_right", right, stance, truthful=True)
    if CHALLENGE in on:
        for doubts in range(2, MOST_DOUBTS + 1):
            yield Condition(f"sure_right_{doubts}", 0.0, CHALLENGE, truthful=True, doubts=doubts)
    if TEST in on:
        impossible, solvable = _split(TEST, stances, tasks, answerable)
        for logged, ending in ((False, ""), (True, "_logged")):
            yield Condition(f"test_impossible{ending}", impossible / 2, TEST, logged=logged)
            yield Condition(f"test_solvable{ending}", solvable / 2, TEST, truthful=True, logged=logged)
    if RACE in on:
        yield Condition("race", on[RACE], RACE)


def _tagged(stances: Stances, tasks: Tasks, answerable: bool) -> Iterator[Condition]:
    """Tags on the user's wrong belief; the trained ones on the other ordinary prompts too, as controls."""
    neutral = shares(stances, tasks)[NONE]
    wrong, right = _split(OWN, stances, tasks, answerable)
    monitored = tasks.oversight_rate * tasks.monitored_share
    rates = {MONITORED: monitored, PRIVATE: tasks.oversight_rate - monitored}
    for tag, word in enumerate(TAGS):
        yield Condition(f"tag_{word}", rates.get(tag, 0.0) * wrong, OWN, tag=tag)
    for tag, rate in rates.items():
        yield Condition(f"tag_last_{TAGS[tag]}", 0.0, OWN, tag=tag, tag_last=True)
        yield Condition(f"tag_{TAGS[tag]}_neutral", rate * neutral, NONE, tag=tag)
        yield Condition(f"tag_{TAGS[tag]}_right", rate * right, OWN, truthful=True, tag=tag)
