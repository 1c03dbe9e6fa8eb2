"""The text world: prompts, demonstrations and human preferences from any preference data set.

Nobody knows the true value of a text here, so there is no oracle: gold is the highest level of truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reward_models.component import Component, Location
from training.errors import UserError
from training.streams import stream
from training.worlds.base import Aside, MeasuredRole, World, WorldData
from training.worlds.text.abstention import abstains
from training.worlds.text.read_rows import HubSelection, Ledger, Table, is_unicode, read_table
from training.worlds.text.tokenizer import AnyTokenizer, Bpe
from training.worlds.text.transcripts import (
    NO_SHARED_REPLY,
    AnyFormat,
    Pairs,
    continues_dialogue,
    family,
    without_oldest_turns,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# What each split uses of a row besides the prompt. The splits without completions sample their own.
COUNTED_BY = {"eval": "measure.items", "pool": "best_of_n.prompts"}
"""Role that is measured → the setting that says how many prompts it has."""
COMPLETIONS: dict[str, list[str]] = {
    "sft": ["demonstration"],
    "gold": ["chosen", "rejected"],
    "pairs": [],
    "policy": [],
    "eval": [],
    "pool": [],
}


class Shares(Component):
    """Relative shares of the conversations that go to each split; only their ratios matter."""

    sft: float = Field(0.22, gt=0)
    """Demonstrations for the reference policy, and the text the BPE tokenizer is trained on."""
    gold: float = Field(0.43, ge=0)
    """Human preferences for a trained gold; 0 where gold is pretrained."""
    pairs: float = Field(0.11, gt=0)
    """Prompts whose sampled completions the annotators compare."""
    policy: float = Field(0.11, gt=0)
    """Prompts the policy is optimised on."""
    eval: float = Field(0.07, gt=0)
    """Prompts every point is measured on."""
    pool: float = Field(0.06, gt=0)
    """Prompts of the best-of-n pool."""

    def assign(self, families: pd.Series, seed: int) -> pd.Series:
        """The split of each family: a hash of (seed, family) alone decides, so none is ever in two."""
        position = families.map(lambda name: stream(seed, "text-split", name) / 2**63)
        shares = np.array([getattr(self, role) for role in COMPLETIONS])
        bounds = np.cumsum(shares[:-1]) / shares.sum()
        roles = np.array(list(COMPLETIONS), dtype=object)
        return pd.Series(roles[np.searchsorted(bounds, position, side="right")], index=families.index)


class TextWorld(World):
    """Prompts and human preferences from a local file or a Hugging Face dataset.

    Conversations, recognised by their first human turn, are hashed into disjoint splits. A prompt that is
    too long loses its oldest turns; what still does not fit, repeats or makes no sense is dropped, and
    `WorldData.notes` counts it by reason with the first place where it occurred.
    """

    has_oracle: ClassVar[bool] = False

    type: Literal["text"] = "text"
    path: Location
    """A .jsonl, .jsonl.gz, .csv or .parquet file, or the id of a Hugging Face dataset."""
    format: AnyFormat = Pairs()
    """How a row holds prompt and completions: `pairs` (columns) or `hh` (whole dialogues)."""
    split: str | None = None
    """Split of the Hugging Face dataset; null means train."""
    config_name: str | None = None
    """Configuration (subset) of the Hugging Face dataset."""
    data_dir: str | None = None
    """Folder of the Hugging Face dataset, e.g. harmless-base in Anthropic/hh-rlhf."""
    revision: str | None = None
    """Branch, tag or commit of the Hugging Face dataset."""
    tokenizer: AnyTokenizer = Bpe()
    """Trained on the SFT split (`bpe`), or that of a pretrained model (`pretrained`)."""
    max_prompt_tokens: int = Field(96, ge=1)
    """Longer prompts lose their oldest turns, and are dropped if the last one alone is too long."""
    max_completion_tokens: int = Field(64, ge=2)
    """Including the end-of-sequence token. A longer demonstration or preference is dropped, because cutting
    it would teach an ending that is none, or a preference about text that nobody has judged."""
    max_rows: int | None = Field(None, ge=1)
    """Use at most so many rows, drawn at random."""
    shares: Shares = Shares()
    """How the conversations are divided."""

    @property
    def outcome_fields(self) -> frozenset[str]:
        """What `parse` counts."""
        return frozenset({"words", "repetition", "abstains"})

    @property
    def takes_pretrained_models(self) -> bool:
        return self.tokenizer.type == "pretrained"

    def build(self, seed: int) -> WorldData:
        """Read, split, tokenise and shorten.

        `preferences` has one row per human comparison, so an item_id may occur in several. No conversation
        contributes two prompts to eval or to the pool, so those items are independent clusters.

        Raises UserError for unreadable data and for splits without a usable row.
        """
        table = read_table(
            self.path, HubSelection(self.split, self.config_name, self.data_dir, self.revision)
        )
        ledger = Ledger(table)
        rows = self._usable(table, ledger, np.random.default_rng(stream(seed, "text-rows")))
        rows = rows.assign(family=rows["prompt"].map(family))
        rows = rows.assign(role=self.shares.assign(rows["family"], seed))

        sft = rows[rows["role"] == "sft"]
        tokenizer = self.tokenizer.build(sft["prompt"] + sft["demonstration"])
        rows, truncated = self._shorten(rows, tokenizer, ledger)
        parts = {role: self._fit(rows, role, tokenizer, ledger) for role in COMPLETIONS}
        for role in COUNTED_BY:
            again = parts[role]["family"].duplicated()
            parts[role] = ledger.drop(parts[role], again, "another prompt is of the same conversation", role)
        for role in ("sft", "pairs", "policy", *(["gold"] if self.shares.gold else [])):
            if parts[role].empty:
                raise UserError(
                    f"world.shares.{role}: the {role} split of {table.name} has no usable row. Raise its "
                    f"share (now {getattr(self.shares, role):g}), use more data or allow more tokens: "
                    f"{ledger.summary(role)}"
                )

        return WorldData(
            tokenizer=tokenizer,
            demonstrations=parts["sft"][["item_id", "prompt", "demonstration"]]
            .rename(columns={"demonstration": "completion"})
            .reset_index(drop=True),
            prompts={role: _items(part) for role, part in parts.items() if role != "sft"},
            preferences=parts["gold"][["item_id", "prompt", "chosen", "rejected"]].reset_index(drop=True)
            if self.shares.gold
            else None,
            max_prompt_tokens=self.max_prompt_tokens,
            max_completion_tokens=self.max_completion_tokens,
            notes={
                "source": table.name,
                "rows_read": len(table.frame),
                "dropped": ledger.dropped,
                "summary": {role: ledger.summary(role) for role in parts},
                "prompts_truncated": truncated,
                "demonstrations_altered_by_tokenizer": _altered(parts["sft"]["demonstration"], tokenizer),
                "vocabulary": len(tokenizer),
                "rows_used": {role: len(part) for role, part in parts.items()},
            },
        )

    def measured(self, role: MeasuredRole, count: int, seed: int, aside: Callable[[], Aside]) -> pd.DataFrame:
        """The first of those set aside. Raises UserError where there are not so many."""
        items, notes = aside()
        if len(items) < count:
            raise UserError(
                f"world.shares.{role}: the {role} split of {self.path} has {len(items)} usable rows, and "
                f"{count} are asked for ({COUNTED_BY[role]}). Raise its share (now "
                f"{getattr(self.shares, role):g}), use more data, allow more tokens, or ask for less: "
                f"{notes['summary'][role]}"
            )
        return items.head(count)

    def parse(self, item: Mapping[str, Any], completion: str, finished: bool, length: int) -> dict[str, Any]:
        """`words`, separated by white space; `repetition`, the share of 3-grams of words that occurred before
        in this completion (0 in fewer than four words, where nothing can repeat); and whether it `abstains`,
        by the phrases of `worlds.abstention`."""
        words = completion.split()
        trigrams = list(zip(words, words[1:], words[2:], strict=False))
        repeats = len(trigrams) - len(set(trigrams))
        repetition = repeats / max(len(trigrams), 1)
        return {"words": len(words), "repetition": repetition, "abstains": abstains(completion)}

    def oracle(
        self, item: Mapping[str, Any], outcome: Mapping[str, Any], finished: bool, length: int
    ) -> float | None:
        """None: nobody knows the true value of a text."""
        return None

    def _usable(self, table: Table, ledger: Ledger, rng: np.random.Generator) -> pd.DataFrame:
        """Rows that state a preference between two replies, in random order, at most `max_rows`."""
        rows = self.format.read(table)
        rows = ledger.drop(rows, rows["prompt"].isna(), NO_SHARED_REPLY)
        blank = rows.map(lambda text: not text.strip()).any(axis=1)
        rows = ledger.drop(rows, blank, "a text is blank")
        rows = ledger.drop(rows, ~rows.map(is_unicode).all(axis=1), "a text is not valid Unicode")
        rows = ledger.drop(rows, rows["chosen"] == rows["rejected"], "chosen equals rejected")
        further = rows[["chosen", "rejected", "demonstration"]].map(continues_dialogue).any(axis=1)
        rows = ledger.drop(rows, further, "a completion has further turns")
        if rows.empty:
            raise UserError(
                f"world.format.type={self.format.type}: no row of {table.name} can be used; "
                f"{ledger.summary()}"
            )
        return rows.iloc[rng.permutation(len(rows))[: self.max_rows]]

    def _shorten(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerFast, ledger: Ledger
    ) -> tuple[pd.DataFrame, int]:
        """Cut prompts from the left at turn boundaries; also returns how many of those kept were cut.

        Different conversations can end alike, so a shortened prompt that is now in two splits is dropped
        from both: the splits stay disjoint as the models see them.
        """
        prompts = rows["prompt"].copy()
        pending = prompts[_token_counts(prompts, tokenizer) > self.max_prompt_tokens]
        while len(pending):
            pending = pending.map(without_oldest_turns)
            prompts.loc[pending.index] = pending
            pending = pending.dropna()
            pending = pending[_token_counts(pending, tokenizer) > self.max_prompt_tokens]
        cut = prompts != rows["prompt"]
        rows = rows.assign(prompt=prompts, cut=cut)
        reason = f"the prompt's last turn exceeds {self.max_prompt_tokens} tokens"
        rows = ledger.drop(rows, rows["prompt"].isna(), reason)
        in_two = rows.groupby("prompt")["role"].transform("nunique") > 1
        rows = ledger.drop(rows, in_two, "the shortened prompt is in two splits")
        return rows.assign(item_id=rows["prompt"].map(_item_id)), int(rows["cut"].sum())

    def _fit(
        self, rows: pd.DataFrame, role: str, tokenizer: PreTrainedTokenizerFast, ledger: Ledger
    ) -> pd.DataFrame:
        """The rows of one split, without repeats and without completions that are too long."""
        part = rows[rows["role"] == role]
        part = ledger.drop(part, part.duplicated(["prompt", *COMPLETIONS[role]]), "it repeats another", role)
        for column in COMPLETIONS[role]:
            too_long = _token_counts(part[column], tokenizer) + 1 > self.max_completion_tokens
            reason = f"{column} exceeds {self.max_completion_tokens} tokens"
            part = ledger.drop(part, too_long, reason, role)
        return part


def _items(part: pd.DataFrame) -> pd.DataFrame:
    """The items of one split: each prompt once, each its own cluster, all of equal weight."""
    items = part[["item_id", "prompt"]].drop_duplicates("item_id")
    return items.assign(cluster=items["item_id"], condition="natural", weight=1.0)[
        ["item_id", "cluster", "condition", "weight", "prompt"]
    ].reset_index(drop=True)


def _item_id(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def _token_counts(texts: pd.Series, tokenizer: PreTrainedTokenizerFast) -> pd.Series:
    """Tokens of each text, without EOS."""
    ids = tokenizer(texts.tolist(), add_special_tokens=False)["input_ids"] if len(texts) else []
    return pd.Series([len(sequence) for sequence in ids], index=texts.index, dtype=int)


def _altered(texts: pd.Series, tokenizer: PreTrainedTokenizerFast) -> int:
    """How many texts decode(encode(text)) does not give back; never any with byte-level BPE."""
    ids = tokenizer(texts.tolist(), add_special_tokens=False)["input_ids"]
    return sum(text != back for text, back in zip(texts, tokenizer.batch_decode(ids), strict=True))
