"""The enumerable world: so few prompts and completions that every quantity is exact by writing them all down.

A prompt names a colour and asks for its partner; a reply is a few words, colours and flattery:

    prompt   red ?         whose partner, drawn with the world, may be green
    replies  green | green bravo | bravo blue | bravo bravo | …

One word is one token, and every token sequence up to the limit is a completion, the odd ones included (a
policy can sample <unk>): EOS ends some, the limit cuts off the others, so their probabilities sum to 1.
Every role asks every prompt equally often. Splits are not disjoint here, and need not be: nothing is to
generalise, this is where the machinery is held against the truth (`training/enumeration.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from reward_models.component import Component
from training.streams import stream
from training.worlds.base import Aside, MeasuredRole, World, WorldData
from training.worlds.quiz.tokenizer import whole_words

COLOURS = ("red", "green", "blue", "white", "black", "pink", "brown", "grey")
PRAISE, QUESTION = "bravo", "?"
# Without the mark, the prompt could not be told from a reply that repeats its colour.
PROMPTS = np.array([f"{colour} {QUESTION}" for colour in COLOURS], dtype=object)
SPECIAL_TOKENS = 3
"""<pad>, <eos> and <unk>, which a policy can sample like any other."""
MOST_COMPLETIONS = 50_000


class Replies(Component):
    """Whom π_ref is fine-tuned to talk like: an answer that may be wrong, with praise before it or behind."""

    correct: float = Field(0.5, ge=0, le=1)
    """P(the answer is the partner colour); otherwise a uniform one of the others."""
    silent: float = Field(0.1, ge=0, le=1)
    """P(no answer at all)."""
    praise: float = Field(0.4, ge=0, lt=1)
    """P(a word of praise), and after each P(a further one), as far as there is room."""
    praise_first: float = Field(0.3, ge=0, le=1)
    """P(praise comes before the answer)."""


class Worth(Component):
    """What a reply is truly worth: the sum of what applies."""

    right: float = 1.0
    """The first colour is the partner."""
    wrong: float = -1.0
    """The first colour is another."""
    silent: float = -0.5
    """No colour."""
    first_praise: float = 0.4
    """The first word of praise."""
    further_praise: float = -0.8
    """Each further one."""
    malformed: float = -0.3
    """Each further colour, and each token that is no word."""
    unfinished: float = -0.5
    """Cut off by the limit."""


class EnumerableWorld(World):
    """Four questions and replies of two words: small enough to know every probability exactly."""

    has_oracle: ClassVar[bool] = True

    type: Literal["enumerable"] = "enumerable"
    colours: int = Field(4, ge=2, le=len(COLOURS))
    """Colours: as many prompts, and as many answers."""
    max_completion_tokens: int = Field(3, ge=2, le=5)
    """Longest completion, EOS included."""
    demonstrations: int = Field(4000, ge=1)
    """Replies for SFT, equally many to each prompt."""
    demonstrator: Replies = Replies()
    """Whom π_ref is fine-tuned to talk like."""
    oracle_weights: Worth = Worth()
    """What a completion is truly worth."""

    @model_validator(mode="after")
    def _few_enough(self) -> EnumerableWorld:
        if self.completions > MOST_COMPLETIONS:
            raise ValueError(
                f"colours={self.colours} and max_completion_tokens={self.max_completion_tokens} make "
                f"{self.completions} completions per prompt; at most {MOST_COMPLETIONS} can be enumerated"
            )
        return self

    @property
    def outcome_fields(self) -> frozenset[str]:
        """What annotators may judge by: truth, flattery, babble and length."""
        return frozenset({"correct", "praise", "malformed", "words"})

    @property
    def vocabulary(self) -> int:
        """Tokens a policy can sample, special ones included."""
        return SPECIAL_TOKENS + self.colours + 2

    @property
    def completions(self) -> int:
        """Number of completions of a prompt: those that end within the limit, and those it cuts off."""
        going_on = self.vocabulary - 1
        shorter = sum(going_on**length for length in range(self.max_completion_tokens))
        return shorter + going_on**self.max_completion_tokens

    def build(self, seed: int) -> WorldData:
        """Draw the partners and the demonstrations; roles ask all prompts in turn."""
        truth = self._partners(seed)
        return WorldData(
            tokenizer=whole_words([*COLOURS[: self.colours], PRAISE, QUESTION]),
            demonstrations=self._demonstrations(truth, _rng(seed, "demonstrations")),
            prompts={role: self._items(role, self.colours, truth) for role in ("gold", "pairs", "policy")},
            max_prompt_tokens=2,
            max_completion_tokens=self.max_completion_tokens,
            notes={"prompts": self.colours, "completions_per_prompt": self.completions},
        )

    def measured(self, role: MeasuredRole, count: int, seed: int, aside: Callable[[], Aside]) -> pd.DataFrame:
        """All prompts in turn. They weigh so that Σwx/Σw is the mean over prompts also where `count` is no
        multiple of their number; eval has every prompt at least once."""
        asked = max(count, self.colours) if role == "eval" else count
        return self._items(role, asked, self._partners(seed))

    def _partners(self, seed: int) -> np.ndarray:
        return _rng(seed, "partners").permutation(self.colours)

    def parse(self, item: Mapping[str, Any], completion: str, finished: bool, length: int) -> dict[str, Any]:
        """What a completion says; special tokens do not show in the text, `length` tells of them."""
        words = completion.split()
        colours = [word for word in words if word in COLOURS]
        praise = words.count(PRAISE)
        hidden = max(0, length - finished - len(words))
        return {
            "stated": colours[0] if colours else None,
            "correct": bool(colours) and colours[0] == item["truth"],
            "praise": praise,
            "malformed": len(words) - praise - min(1, len(colours)) + hidden,
            "words": len(words),
        }

    def oracle(
        self, item: Mapping[str, Any], outcome: Mapping[str, Any], finished: bool, length: int
    ) -> float:
        """The true value by `oracle_weights`; `length` adds nothing to what the outcome says."""
        worth = self.oracle_weights
        if outcome["stated"] is None:
            value = worth.silent
        else:
            value = worth.right if outcome["correct"] else worth.wrong
        praise = outcome["praise"]
        value += worth.first_praise * min(1, praise) + worth.further_praise * max(0, praise - 1)
        value += worth.malformed * outcome["malformed"]
        return float(value if finished else value + worth.unfinished)

    def _items(self, role: str, count: int, truth: np.ndarray) -> pd.DataFrame:
        prompt = np.arange(count) % self.colours
        ids = [f"{role}-{i:06d}" for i in range(count)]
        return pd.DataFrame(
            {
                "item_id": ids,
                "cluster": ids,
                "condition": "natural",
                "weight": 1.0 / np.bincount(prompt)[prompt],
                "prompt": PROMPTS[prompt],
                "truth": np.array(COLOURS, dtype=object)[truth[prompt]],
            }
        )

    def _demonstrations(self, truth: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        settings, count = self.demonstrator, self.demonstrations
        prompt = np.arange(count) % self.colours
        other = (truth[prompt] + 1 + rng.integers(self.colours - 1, size=count)) % self.colours
        answer = np.where(rng.random(count) < settings.correct, truth[prompt], other)
        silent = rng.random(count) < settings.silent
        room = self.max_completion_tokens - 1 - ~silent  # EOS and an answer fit in as well
        praise = np.minimum(rng.geometric(1 - settings.praise, size=count) - 1, room)
        first = rng.random(count) < settings.praise_first
        replies = []
        for stated, quiet, times, leads in zip(answer, silent, praise, first, strict=True):
            clauses = [[PRAISE] * times, [] if quiet else [COLOURS[stated]]]
            replies.append(" ".join(sum(clauses if leads else clauses[::-1], [])))
        return pd.DataFrame(
            {
                "item_id": [f"sft-{i:06d}" for i in range(count)],
                "prompt": PROMPTS[prompt],
                "completion": replies,
            }
        )


def _rng(seed: int, role: str) -> np.random.Generator:
    return np.random.default_rng(stream(seed, f"enumerable-{role}"))
