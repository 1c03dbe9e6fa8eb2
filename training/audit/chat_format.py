"""How a question and a reply become token ids, for a model that this testbed did not train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import UserError, why

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIALOGUE = "\n\nHuman: {question}\n\nAssistant:"
"""How the HH-RLHF data, and so the models trained on it here, put a question."""
MOST_UNKNOWN = 0.2

Ids = list[int]


@dataclass(frozen=True)
class Dialogue:
    """One model's way of writing a question and a reply."""

    tokenizer: PreTrainedTokenizerBase
    template: str | None
    """The prompt, with {question} in it, after which a reply is written behind a space; None for the
    tokenizer's own chat template."""

    @classmethod
    def of(cls, folder: Path, template: str | None) -> Dialogue:
        """With the tokenizer in `folder`. Without a `template`: its chat template, or else `DIALOGUE`.

        Raises:
            UserError: the folder has no tokenizer.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{folder} holds no tokenizer: {why(error)}") from None
        if template is None and not tokenizer.chat_template:
            template = DIALOGUE
        return cls(tokenizer, template and template.replace("\\n", "\n"))

    def sequences(self, prompts: Sequence[str], replies: Sequence[str]) -> list[Ids]:
        """What a reward model reads, closed the way the model's own dialogues are.

        Raises:
            UserError: most words are unknown to the tokenizer.
        """
        if self.template is None:
            turns = [
                [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
                for prompt, reply in zip(prompts, replies, strict=True)
            ]
            texts = [str(self.tokenizer.apply_chat_template(each, tokenize=False)) for each in turns]
            ids = self._encode(texts, special=False)
        else:
            ids = self._encode(self._texts(prompts, replies), special=True)
            eos = self.tokenizer.eos_token_id
            ids = [each if eos is None or each[-1:] == [eos] else [*each, eos] for each in ids]
        self._require_known_words(ids)
        return ids

    def halves(self, prompts: Sequence[str], replies: Sequence[str]) -> tuple[list[Ids], list[Ids]]:
        """What a language model is given and what it is to say, without the end of its turn.

        Text is tokenised as a whole and cut where it departs from the tokenised prompt, so that a token
        across the border counts as said.

        Raises:
            UserError: most words are unknown to the tokenizer.
        """
        special = self.template is not None
        alone = self._encode(self._texts(prompts, None), special)
        whole = self._encode(self._texts(prompts, replies), special)
        self._require_known_words(whole)
        cuts = [_shared(one, other) for one, other in zip(alone, whole, strict=True)]
        return (
            [ids[:cut] for ids, cut in zip(whole, cuts, strict=True)],
            [ids[cut:] for ids, cut in zip(whole, cuts, strict=True)],
        )

    def _texts(self, prompts: Sequence[str], replies: Sequence[str] | None) -> list[str]:
        if self.template is None:
            asked = [
                str(
                    self.tokenizer.apply_chat_template(
                        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
                    )
                )
                for prompt in prompts
            ]
            space = ""
        else:
            asked, space = [self.template.replace("{question}", prompt) for prompt in prompts], " "
        if replies is None:
            return asked
        return [f"{prompt}{space}{reply}" for prompt, reply in zip(asked, replies, strict=True)]

    def _encode(self, texts: list[str], special: bool) -> list[Ids]:
        """Ids of texts. A chat template writes special tokens itself."""
        encoded: list[Ids] = self.tokenizer(texts, add_special_tokens=special)["input_ids"]
        return encoded

    def _require_known_words(self, sequences: Sequence[Ids]) -> None:
        unknown = self.tokenizer.unk_token_id
        share = sum(ids.count(unknown) for ids in sequences) / sum(map(len, sequences))
        if unknown is not None and unknown != self.tokenizer.eos_token_id and share > MOST_UNKNOWN:
            raise UserError(
                f"its tokenizer does not know {share:.0%} of the words in these questions; a model of "
                "another language, such as the quiz world's, is audited by the experiment that trains it"
            )


def _shared(one: Ids, other: Ids) -> int:
    """Length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
