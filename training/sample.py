"""Draw completions from a policy, with their log-probabilities and KL, from a random stream of their own.

Sampling is at temperature 1 over the full vocabulary, everywhere: KL is defined at that distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training import kl
from training.streams import stream

# Two fp32 logit tensors of this many entries (1 GiB together) are held at once when KL is measured.
MAX_LOGITS = 2**27


def load_policy(folder: Path) -> PreTrainedModel:
    """A frozen causal language model in eval mode, on the accelerator if there is one."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().requires_grad_(False).to(device)


def _batches(count: int, size: int) -> Iterator[tuple[int, slice]]:
    for index, start in enumerate(range(0, count, size)):
        yield index, slice(start, min(count, start + size))


@torch.inference_mode()
def complete(
    policy: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    max_tokens: int,
    seed: int,
    batch_size: int,
) -> list[list[int]]:
    """One sampled completion per prompt, as token ids that end with EOS where the policy emitted it.

    The global random state is left as it was found, so measuring never changes training. The same seed and
    prompts give the same underlying random numbers for every policy.
    """
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        disable_compile=True,
    )
    eos = tokenizer.eos_token_id
    completions: list[list[int]] = []
    devices = [policy.device] if policy.device.type == "cuda" else []
    for index, rows in _batches(len(prompts), batch_size):
        inputs = tokenizer(list(prompts[rows]), padding=True, padding_side="left", return_tensors="pt")
        width = inputs["input_ids"].shape[1]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(stream(seed, "batch", index))
            # transformers types `generate` for a protocol that none of its model classes declares.
            ids = policy.generate(  # type: ignore[operator]
                input_ids=inputs["input_ids"].to(policy.device),
                attention_mask=inputs["attention_mask"].to(policy.device),
                generation_config=config,
            )
        for row in ids[:, width:].tolist():
            completions.append(row[: row.index(eos) + 1] if eos in row else row)
    return completions


def draw(
    policy: PreTrainedModel,
    reference: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    items: pd.DataFrame,
    *,
    samples: int,
    max_tokens: int,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    """`samples` completions of every item, as a table of the records' `samples` kind.

    Args:
        reference: π_ref, or None if `policy` is π_ref itself (every KL is then exactly 0).
        items: rows with item_id and prompt.
    """
    repeated = items.loc[items.index.repeat(samples), ["item_id", "prompt"]].reset_index(drop=True)
    prompts = repeated["prompt"].tolist()
    completions = complete(policy, tokenizer, prompts, max_tokens, seed, batch_size)
    eos = tokenizer.eos_token_id
    table = pd.DataFrame(
        {
            "item_id": repeated["item_id"],
            "sample_id": [f"{i % samples:03d}" for i in range(len(repeated))],
            "completion": tokenizer.batch_decode(completions, skip_special_tokens=True),
            "ids": completions,
            "length": [len(ids) for ids in completions],
            "finished": [ids[-1] == eos for ids in completions],
        }
    )
    estimates = _estimate(policy, reference, tokenizer, prompts, completions, batch_size)
    return pd.concat([table, estimates], axis=1)


def _estimate(
    policy: PreTrainedModel,
    reference: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    completions: list[list[int]],
    batch_size: int,
) -> pd.DataFrame:
    prompt_ids = tokenizer(prompts)["input_ids"]
    longest = max(map(len, completions)) + 1
    rows_at_once = max(1, min(batch_size, MAX_LOGITS // (longest * policy.config.vocab_size)))
    pad = tokenizer.pad_token_id
    parts = []
    for _, rows in _batches(len(prompts), rows_at_once):
        estimate = kl.measure(policy, reference or policy, prompt_ids[rows], completions[rows], pad)
        parts.append(pd.DataFrame({k: v.double().cpu().numpy() for k, v in asdict(estimate).items()}))
    of_prompt = _prompt_k2(policy, reference, prompt_ids, batch_size, pad)
    return pd.concat(parts, ignore_index=True).assign(k2_prompt=of_prompt)


def _prompt_k2(
    policy: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompt_ids: list[list[int]],
    batch_size: int,
    pad: int,
) -> list[float]:
    """`kl.prompt_k2` of every prompt; samples of one prompt stand together and share its value."""
    if reference is None:
        return [0.0] * len(prompt_ids)
    distinct = [ids for ids, _ in groupby(prompt_ids)]
    longest = max(map(len, distinct))
    rows_at_once = max(1, min(batch_size, MAX_LOGITS // (longest * policy.config.vocab_size)))
    values = [
        value
        for _, rows in _batches(len(distinct), rows_at_once)
        for value in kl.prompt_k2(policy, reference, distinct[rows], pad).tolist()
    ]
    counts = [len(list(same)) for _, same in groupby(prompt_ids)]
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]
