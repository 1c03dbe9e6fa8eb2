"""A built world on disk: tokenizer, demonstrations, prompts of every role, and human preferences if any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from training.worlds import AnyWorld
from training.worlds.base import Aside

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.worlds.base import World, WorldData


def save(world: World, data: WorldData, out: Path) -> None:
    """Write a built world, with the settings that made it, under `out`."""
    data.tokenizer.save_pretrained(out / "tokenizer")
    data.demonstrations.to_parquet(out / "demonstrations.parquet", compression="zstd")
    for role, items in data.prompts.items():
        items.to_parquet(out / f"prompts-{role}.parquet", compression="zstd")
    if data.preferences is not None:
        data.preferences.to_parquet(out / "preferences.parquet", compression="zstd")
    document = {
        "world": world.model_dump(mode="json"),
        "max_prompt_tokens": data.max_prompt_tokens,
        "max_completion_tokens": data.max_completion_tokens,
        "notes": data.notes,
    }
    (out / "world.json").write_text(json.dumps(document, indent=1))


class BuiltWorld:
    """Reads what `save` wrote, and parses completions with the world that made it."""

    def __init__(self, folder: Path, measured: Mapping[str, Path] | None = None) -> None:
        """`measured`: role → folder of its prompts, for the roles `eval` and `pool`."""
        document = json.loads((folder / "world.json").read_text())
        self.folder, self.measured = folder, measured or {}
        self.notes: dict[str, Any] = document["notes"]
        self.world: World = TypeAdapter(AnyWorld).validate_python(document["world"])
        self.max_prompt_tokens: int = document["max_prompt_tokens"]
        self.max_completion_tokens: int = document["max_completion_tokens"]

    @property
    def max_length(self) -> int:
        """Tokens of the longest prompt plus the longest completion."""
        return self.max_prompt_tokens + self.max_completion_tokens

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that every model of the experiment shares."""
        return _tokenizer(str(self.folder / "tokenizer"))

    def demonstrations(self) -> pd.DataFrame:
        """Columns item_id, prompt, completion."""
        return pd.read_parquet(self.folder / "demonstrations.parquet")

    def prompts(self, role: str) -> pd.DataFrame:
        """Items of the role `gold`, `pairs` or `policy`, or of `eval` or `pool` where they were drawn."""
        if role in self.measured:
            return pd.read_parquet(self.measured[role] / "prompts.parquet")
        return self.set_aside(role).items

    def set_aside(self, role: str) -> Aside:
        """What the world itself holds for a role."""
        return Aside(pd.read_parquet(self.folder / f"prompts-{role}.parquet"), self.notes)

    def preferences(self) -> pd.DataFrame | None:
        """Human preferences (item_id, prompt, chosen, rejected), where the world has them."""
        path = self.folder / "preferences.parquet"
        return pd.read_parquet(path) if path.is_file() else None

    def outcomes(self, samples: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
        """The parse of every sample, one row each, keyed by item_id and sample_id.

        Args:
            samples: columns item_id, sample_id, completion, finished, length.
            items: rows of `prompts`, which must contain every item_id of `samples`.
        """
        by_id = _records_by_id(items)
        rows: list[dict[str, Any]] = [
            {"item_id": item, "sample_id": sample, **self.world.parse(by_id[item], text, finished, length)}
            for item, sample, text, finished, length in samples[
                ["item_id", "sample_id", "completion", "finished", "length"]
            ].itertuples(index=False)
        ]
        return pd.DataFrame(rows)

    def answers(self, samples: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
        """`outcomes` beside the columns of their items, row for row."""
        asked = items.set_index("item_id").loc[samples["item_id"]].reset_index(drop=True)
        return pd.concat([asked, self.outcomes(samples, items)], axis=1)

    def oracle(self, samples: pd.DataFrame, outcomes: pd.DataFrame, items: pd.DataFrame) -> np.ndarray | None:
        """The true value of every sample, in the order of `samples`; None where the world has no oracle."""
        if not self.world.has_oracle:
            return None
        by_id = _records_by_id(items)
        if (
            not (samples["item_id"].to_numpy() == outcomes["item_id"].to_numpy()).all()
            or not (samples["sample_id"].to_numpy() == outcomes["sample_id"].to_numpy()).all()
        ):
            raise ValueError("samples and outcomes are not aligned by item_id and sample_id")
        values = []
        for outcome, finished, length in zip(
            _records(outcomes), samples["finished"], samples["length"], strict=True
        ):
            value = self.world.oracle(by_id[outcome["item_id"]], outcome, bool(finished), int(length))
            assert value is not None, "a world with an oracle values every completion"
            values.append(value)
        return np.array(values)


def _records_by_id(items: pd.DataFrame) -> dict[str, dict[str, Any]]:
    clean = items.astype(object).where(items.notna(), None)
    return {row["item_id"]: row for row in _records(clean)}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", table.to_dict("records"))  # column names are strings here


@lru_cache(maxsize=4)
def _tokenizer(folder: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return tokenizer
