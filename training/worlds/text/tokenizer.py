"""The tokenizer of a text world: byte-level BPE trained on the SFT split, or a pretrained one.

Both leave here under the same contract: fast, left padding, no special token added to a text, and a
padding token other than the end-of-sequence token, so that no model ever mistakes an ending for padding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from reward_models.component import Component, Location
from training.errors import UserError, why

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"
BYTES = 256


class Bpe(Component):
    """Byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2): decode(encode(x)) == x."""

    type: Literal["bpe"] = "bpe"
    vocab_size: int = Field(2000, ge=BYTES + 2)
    """Upper bound on the vocabulary: 256 bytes, <pad>, <eos> and the merges the SFT texts support."""

    def build(self, sft_texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Train on the SFT split alone. "<eos>" or "<pad>" inside a text stays ordinary characters."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=[PAD, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        bpe.train_from_iterator(sft_texts, trainer)
        return _wrap(bpe, PAD, EOS, split_special_tokens=True)


class PretrainedTokenizer(Component):
    """The tokenizer of a pretrained model.

    A missing padding token, or one that equals the end-of-sequence token, is replaced by a new "<pad>";
    len(tokenizer) may then exceed the model's embedding, which must be resized to it. Special tokens written
    out in a text (a chat template's, say) are read as such.
    """

    type: Literal["pretrained"] = "pretrained"
    path: Location
    """Directory or Hugging Face model id."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""

    def build(self, sft_texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Load and adapt; `sft_texts` are not used. Raises UserError if it cannot serve."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.path, revision=self.revision, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"world.tokenizer.path: no tokenizer at {self.path!r} (a directory, or a model id that "
                "HF_HUB_OFFLINE=1 looks up in this machine's cache alone): " + why(error)
            ) from error
        if not tokenizer.is_fast or tokenizer.eos_token is None:
            lacks = "fast (Rust) implementation" if not tokenizer.is_fast else "end-of-sequence token"
            raise UserError(f"world.tokenizer.path: the tokenizer at {self.path!r} has no {lacks}")
        backend, pad = tokenizer.backend_tokenizer, tokenizer.pad_token
        if pad is None or pad == tokenizer.eos_token:
            pad = PAD
            backend.add_special_tokens([PAD])
        # Prompts and completions are tokenised apart and concatenated, so nothing may be put around them.
        backend.post_processor = None
        return _wrap(backend, pad, tokenizer.eos_token, split_special_tokens=False)


AnyTokenizer = Annotated[Bpe | PretrainedTokenizer, Field(discriminator="type")]


def _wrap(backend: Any, pad: str, eos: str, *, split_special_tokens: bool) -> PreTrainedTokenizerFast:
    """A plain fast tokenizer: subclasses of it would put BOS back when loaded from disk again."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        eos_token=eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        split_special_tokens=split_special_tokens,
    )
