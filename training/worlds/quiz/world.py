"""The quiz world put together: facts, prompts, demonstrations, parser and oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from reward_models.component import Component
from training.streams import stream
from training.worlds.base import Aside, MeasuredRole, World, WorldData
from training.worlds.quiz import matched_completions
from training.worlds.quiz.conditions import conditions
from training.worlds.quiz.demonstrator import Demonstrator
from training.worlds.quiz.facts import DrawnFacts, Facts, lexicon
from training.worlds.quiz.grammar import (
    AGREEMENT_WITH_DOUBT,
    AGREEMENTS,
    LONGEST_PLAIN_REPLY,
    OPENING,
    Reader,
    write,
)
from training.worlds.quiz.oracle import Oracle
from training.worlds.quiz.outcome import FIELDS as OUTCOME_FIELDS
from training.worlds.quiz.outcome import outcome
from training.worlds.quiz.prompt_table import Asked
from training.worlds.quiz.prompts import Author
from training.worlds.quiz.stances import CHALLENGE, Stances
from training.worlds.quiz.tasks import Tasks
from training.worlds.quiz.tokenizer import whole_words
from training.worlds.quiz.wording import longest_prompt
from training.worlds.quiz.wording import words as prompt_words


class Counts(Component):
    """How many prompts each role gets."""

    demonstrations: int = Field(20_000, ge=1)
    """For SFT of the reference policy and of the reward models' backbones."""
    gold: int = Field(10_000, ge=1)
    """Prompts whose sampled completions are labelled for gold."""
    pairs: int = Field(10_000, ge=1)
    """Prompts whose sampled completions the annotators compare."""
    policy: int = Field(10_000, ge=1)
    """Prompts the policy is optimised on."""


class QuizWorld(World):
    """Questions about made-up facts, asked by people who may believe an answer already."""

    has_oracle: ClassVar[bool] = True
    has_conditions: ClassVar[bool] = True
    has_matched_completions: ClassVar[bool] = True
    answer_opening: ClassVar[str] = OPENING

    type: Literal["quiz"] = "quiz"
    facts: Facts = Facts()
    """What can be asked, and how well it can be known."""
    stances: Stances = Stances()
    """What people believe when they ask."""
    tasks: Tasks = Tasks()
    """What else prompts can hold: tasks and cues, all of them off."""
    demonstrator: Demonstrator = Demonstrator()
    """Whom π_ref is fine-tuned to talk like."""
    oracle_weights: Oracle = Oracle()
    """What a completion is truly worth."""
    counts: Counts = Counts()
    """How many prompts there are."""
    max_completion_tokens: int = Field(20, ge=LONGEST_PLAIN_REPLY + 1)
    """Longest completion, EOS included."""

    @model_validator(mode="after")
    def _enough_demonstrations(self) -> QuizWorld:
        known, rare = self.facts.seen()
        needed = known + rare * self.facts.rare_appearances
        if self.counts.demonstrations < needed:
            raise ValueError(
                f"counts.demonstrations={self.counts.demonstrations} cannot show {known} known and {rare} "
                f"rare facts; at least {needed} are needed"
            )
        return self

    @model_validator(mode="after")
    def _tasks_fit(self) -> QuizWorld:
        beliefs = self.stances.stance_rate + self.stances.third_party_rate
        if beliefs + self.tasks.total > 1 + 1e-9:
            raise ValueError(
                f"stances.stance_rate + stances.third_party_rate = {beliefs:g} and the rates of tasks = "
                f"{self.tasks.total:g} (challenge, authored, test, hat, race) are shares of the prompts: "
                "together at most 1"
            )
        if self.tasks.contested_relations > self.facts.relations:
            raise ValueError(
                f"tasks.contested_relations={self.tasks.contested_relations}, but there are only "
                f"{self.facts.relations} relations (facts.relations)"
            )
        return self

    @property
    def outcome_fields(self) -> frozenset[str]:
        """Those of every quiz world, and those of the tasks that are on."""
        return OUTCOME_FIELDS | self.tasks.outcome_fields()

    @property
    def item_fields(self) -> frozenset[str]:
        """Those of the tasks that are on."""
        return self.tasks.item_fields()

    @property
    def natural_shares(self) -> dict[str, float]:
        """How often users are right, and how many of the tagged prompts are monitored."""
        shares = {}
        if self.stances.stance_rate > 0:
            shares["user_reliability"] = self.stances.user_reliability
        if self.tasks.oversight_rate > 0:
            shares["monitored_share"] = self.tasks.monitored_share
        return shares

    def build(self, seed: int) -> WorldData:
        """Draw facts, demonstrations and the prompts of every role that is trained on.

        Every role asks about every fact (what π_ref can know is the same everywhere), in wordings of its
        own, so that no prompt is in two roles. Within a role prompts may repeat; their item_ids do not.
        """
        facts = self.facts.draw(_rng(seed, "facts"))
        author = Author(facts, self.stances, seed, self.tasks)
        demonstrations = self._demonstrations(author, facts, seed)
        counts = {"gold": self.counts.gold, "pairs": self.counts.pairs, "policy": self.counts.policy}
        items = {
            role: _natural_items(author, author.natural(role, count, _rng(seed, "prompts", role)), role)
            for role, count in counts.items()
        }
        known, rare = self.facts.seen()
        words = dict.fromkeys([*prompt_words(self.facts.lexicon, self.tasks), *self._reader().words()])
        return WorldData(
            tokenizer=whole_words(words),
            demonstrations=demonstrations,
            prompts=items,
            max_prompt_tokens=longest_prompt(self._most_doubts()),
            max_completion_tokens=self.max_completion_tokens,
            notes={
                "facts": self.facts.count,
                "facts_known": known,
                "facts_rare": rare,
                "facts_answerable": int(facts.answerable.sum()),
                "words": len(words),
            },
        )

    def measured(self, role: MeasuredRole, count: int, seed: int, aside: Callable[[], Aside]) -> pd.DataFrame:
        """Prompts of a natural draw for the pool; for eval base items under all matched conditions."""
        author = Author(self.facts.draw(_rng(seed, "facts")), self.stances, seed, self.tasks)
        rng = _rng(seed, "prompts", role)
        if role == "eval":
            return _matched_items(author, *author.matched(count, rng))
        return _natural_items(author, author.natural(role, count, rng), role)

    def _most_doubts(self) -> int:
        """How often at most a prompt asks whether one is sure."""
        asked = [c.doubts for a in (True, False) for c in conditions(self.stances, self.tasks, a)]
        return max(1, *asked)

    def parse(self, item: Mapping[str, Any], completion: str, finished: bool, length: int) -> dict[str, Any]:
        """The outcome of a completion by the rules of `grammar`, with what they mean for this item.

        Special tokens do not show in the text; what `length` counts beyond the words and EOS is `malformed`.
        """
        reading = self._reader().read(completion)
        return outcome(item, reading, max(0, length - reading.words - finished), self.tasks)

    def oracle(
        self, item: Mapping[str, Any], outcome: Mapping[str, Any], finished: bool, length: int
    ) -> float:
        """The true value by `oracle_weights`; `length` adds nothing to what the outcome says."""
        return self.oracle_weights.value(item, outcome, finished)

    def matched_completions(self, items: pd.DataFrame) -> pd.DataFrame:
        """Answers to known facts, right and wrong, plain and in every style (see `matched`)."""
        return matched_completions.completions(items)

    def _reader(self) -> Reader:
        facts, tasks = self.facts, self.tasks
        return _reader(
            facts.entities, facts.relations, facts.values, tasks.test_rate > 0, tasks.race_rate > 0
        )

    def _demonstrations(self, author: Author, facts: DrawnFacts, seed: int) -> pd.DataFrame:
        """Prompts of the sft role, each fact exactly as often as its exposure says, with a reply."""
        rng = _rng(seed, "demonstrations")
        appearances = facts.appearances(self.counts.demonstrations, rng)
        asked = author.about(rng.permutation(np.repeat(np.arange(len(appearances)), appearances)), "sft", rng)
        replies = self.demonstrator.replies(asked, facts, self.max_completion_tokens - 1, rng)
        written = [
            write(reply, rng, AGREEMENT_WITH_DOUBT if doubted else AGREEMENTS)
            for reply, doubted in zip(replies, asked.stance == CHALLENGE, strict=True)
        ]
        return pd.DataFrame(
            {
                "item_id": [f"sft-{i:06d}" for i in range(len(replies))],
                "prompt": author.texts(asked),
                "completion": self.demonstrator.spoken(written, self._reader().words(), _rng(seed, "slips")),
            }
        )


def _rng(seed: int, role: str, *index: str) -> np.random.Generator:
    return np.random.default_rng(stream(seed, f"quiz-{role}", *index))


@lru_cache(maxsize=8)
def _reader(entities: int, relations: int, values: int, tests: bool, races: bool) -> Reader:
    sets = lexicon(entities, relations, values).values
    return Reader([value for values in sets for value in values], tests, races)


def _natural_items(author: Author, asked: Asked, role: str) -> pd.DataFrame:
    """Items of a natural draw: each its own cluster, all of equal weight."""
    ids = [f"{role}-{i:06d}" for i in range(len(asked.fact))]
    head = pd.DataFrame({"item_id": ids, "cluster": ids, "condition": "natural", "weight": 1.0})
    return pd.concat([head, author.items(asked)], axis=1)


def _matched_items(author: Author, asked: Asked, columns: pd.DataFrame) -> pd.DataFrame:
    """Items of the matched conditions; an item is named by its cluster and condition."""
    ids = (columns["cluster"] + "-" + columns["condition"]).rename("item_id")
    return pd.concat([ids, columns, author.items(asked)], axis=1)
