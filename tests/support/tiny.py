"""Real networks small enough that every sequence they can say can be written down."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from drawn_worlds import drawn, save
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from training.worlds.built_world import BuiltWorld
from training.worlds.quiz import QuizWorld
from training.worlds.quiz.tokenizer import whole_words

PAD, EOS = 0, 1
"""Ids of `tokenizer`'s special tokens."""


def tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Whole words, after <pad>, <eos> and <unk>."""
    return whole_words(words)


def _llama(vocabulary: int, *, pad: int | None, eos: int | None, spread: float) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=spread,
        pad_token_id=pad,
        eos_token_id=eos,
        bos_token_id=None,
    )


def language_model(
    vocabulary: int, seed: int, *, pad: int | None = PAD, eos: int | None = EOS, spread: float = 0.4
) -> PreTrainedModel:
    """A two-layer decoder with random weights; `spread`, their s.d., sets how decided it is."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_llama(vocabulary, pad=pad, eos=eos, spread=spread)).eval()
    if pad is not None:  # padding is embedded as zero, and a mistake with it would hardly show
        torch.nn.init.normal_(model.get_input_embeddings().weight[pad].detach(), std=3.0)
    return model


def absolute_model(vocabulary: int, seed: int) -> PreTrainedModel:
    """A decoder whose positions are absolute, so that left padding matters unless it is allowed for."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.4
    )
    return GPT2LMHeadModel(config).eval()


def save_reward_model(
    folder: Path, vocabulary: int, seed: int, *, labels: int = 1, pad: int | None = PAD, eos: int = EOS
) -> Path:
    """A reward model with random weights, saved; returns its folder."""
    torch.manual_seed(seed)
    config = _llama(vocabulary, pad=pad, eos=eos, spread=0.4)
    config.num_labels = labels
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


def plant_code(folder: Path) -> Path:
    """A model of an unknown kind that brings program code, put in `folder`; returns the file that the code
    would write if it were run."""
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: ...\n")
    parts = ("AutoConfig", "AutoModelForCausalLM", "AutoModelForSequenceClassification")
    code = {"auto_map": {**dict.fromkeys(parts, "evil.Evil"), "AutoTokenizer": ["evil.Evil", None]}}
    kind = {"model_type": "evil", "architectures": ["EvilForSequenceClassification"], "pad_token_id": 0}
    (folder / "config.json").write_text(json.dumps(kind | code))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Evil"} | code))
    return ran


def sequences(vocabulary: int, longest: int, eos: int) -> Iterator[tuple[int, ...]]:
    """Every completion of at most `longest` tokens: ended by EOS, or cut off at full length."""
    others = [token for token in range(vocabulary) if token != eos]
    for length in range(longest):
        for start in itertools.product(others, repeat=length):
            yield (*start, eos)
    yield from itertools.product(others, repeat=longest)


@torch.inference_mode()
def log_probs(model: PreTrainedModel, prompt: Sequence[int], completion: Sequence[int]) -> torch.Tensor:
    """log π(·|s_t) for every completion token, shape (T, V), float64: one sequence, one prefix at a time."""
    rows = []
    for taken in range(len(completion)):
        prefix = torch.tensor([[*prompt, *completion[:taken]]])
        rows.append(torch.log_softmax(model(input_ids=prefix).logits[0, -1].double(), -1))
    return torch.stack(rows)


def log_prob(model: PreTrainedModel, prompt: Sequence[int], completion: Sequence[int]) -> float:
    """log π(completion | prompt) in nats, EOS included where there is one."""
    each = log_probs(model, prompt, completion)
    return float(each[range(len(completion)), list(completion)].sum())


@lru_cache
def quiz_world() -> QuizWorld:
    """The smallest quiz world worth its name."""
    return QuizWorld.model_validate(
        {
            "facts": {"entities": 8, "relations": 2, "values": 5},
            "counts": {"demonstrations": 200, "gold": 60, "pairs": 60, "policy": 60},
        }
    )


def build_world(folder: Path, eval_items: int = 4) -> BuiltWorld:
    """`quiz_world`, built on disk."""
    return save(quiz_world(), drawn(quiz_world(), seed=0, eval_items=eval_items, pool_prompts=4), folder)
