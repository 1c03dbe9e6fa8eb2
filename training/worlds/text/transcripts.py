"""Preference data as (prompt, chosen, rejected), from plain columns or from whole dialogues.

A dialogue is written as in HH-RLHF (Bai et al. 2022, arXiv:2204.05862): turns that begin with
"\\n\\nHuman:" and "\\n\\nAssistant:". A prompt then ends with "\\n\\nAssistant:" and a completion starts
with the space after it.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from reward_models.component import Component
from training.worlds.text.read_rows import Table

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"

NO_SHARED_REPLY = "the dialogues share no '\\n\\nAssistant:'"


class Pairs(Component):
    """The file has a column for the prompt and one for each completion."""

    type: Literal["pairs"] = "pairs"
    prompt: str = "prompt"
    """Column of the prompts; a completion is appended to it as is, so mind the space between them."""
    chosen: str = "chosen"
    """Column of the completions people preferred."""
    rejected: str = "rejected"
    """Column of the completions people did not prefer."""
    demonstration: str | None = None
    """Column of the completions to imitate in SFT; null uses `chosen`."""

    def read(self, table: Table) -> pd.DataFrame:
        """Columns prompt, chosen, rejected, demonstration, all text, in the table's order and index."""
        return pd.DataFrame(
            {
                "prompt": table.text(self.prompt, "world.format.prompt"),
                "chosen": table.text(self.chosen, "world.format.chosen"),
                "rejected": table.text(self.rejected, "world.format.rejected"),
                "demonstration": table.text(self.demonstration or self.chosen, "world.format.demonstration"),
            }
        )


class Transcripts(Component):
    """The file has two dialogues per row; the prompt is all up to the last "\\n\\nAssistant:" they share."""

    type: Literal["hh"] = "hh"
    chosen: str = "chosen"
    """Column of the dialogues people preferred."""
    rejected: str = "rejected"
    """Column of the dialogues people did not prefer."""

    def read(self, table: Table) -> pd.DataFrame:
        """As `Pairs.read`; the prompt is None where two dialogues share no "\\n\\nAssistant:"."""
        chosen = table.text(self.chosen, "world.format.chosen")
        rejected = table.text(self.rejected, "world.format.rejected")
        frame = pd.DataFrame(
            [split_dialogues(a, b) for a, b in zip(chosen, rejected, strict=True)],
            columns=["prompt", "chosen", "rejected"],
            index=chosen.index,
            dtype=object,
        )
        return frame.assign(demonstration=frame["chosen"])


AnyFormat = Annotated[Pairs | Transcripts, Field(discriminator="type")]


def split_dialogues(chosen: str, rejected: str) -> tuple[str | None, str, str]:
    """(prompt, chosen completion, rejected completion) of two dialogues with a common beginning.

    The prompt ends with the last "\\n\\nAssistant:" both share; it is None if there is none.
    """
    shared = os.path.commonprefix([chosen, rejected])
    reply = shared.rfind(ASSISTANT)
    if reply < 0:
        return None, chosen, rejected
    end = reply + len(ASSISTANT)
    return chosen[:end], chosen[end:], rejected[end:]


def continues_dialogue(completion: str) -> bool:
    """Whether a completion goes on to speak for the human or starts another reply."""
    return HUMAN in completion or ASSISTANT in completion


def family(prompt: str) -> str:
    """What prompts of one conversation have in common: the first human turn, normalised.

    Case, width and spacing are ignored, and a prompt that is no dialogue is its own family.
    """
    _, marker, dialogue = prompt.partition(HUMAN)
    opening = dialogue.partition(ASSISTANT)[0] if marker else prompt
    return " ".join(unicodedata.normalize("NFKC", opening).casefold().split())


def without_oldest_turns(prompt: str) -> str | None:
    """The prompt from its second "\\n\\nHuman:" on (from its first if text stands before that); None if that
    would leave nothing."""
    start = prompt.find(HUMAN, 1)
    return prompt[start:] if start > 0 else None
