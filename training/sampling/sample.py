"""Draw completions from a policy, with their log-probabilities and KL, from a random stream of their own.

Sampling is at temperature 1 over the full vocabulary, everywhere: KL is defined at that distribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.sampling import kl
from training.streams import stream

# Two fp32 logit tensors of this many entries (1 GiB together) are held at once when KL is measured.
MAX_LOGITS = 2**27
MOST_ALIKE = 256
"""Sequences measured in one batch: in larger ones lengths differ more, and padding is computed too."""


def load_policy(folder: Path) -> PreTrainedModel:
    """A frozen causal language model in eval mode, on the accelerator if there is one."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
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
    """Every estimator of `training.sampling.kl`, a row per completion."""
    prompt_ids = tokenizer(prompts)["input_ids"]
    pad = tokenizer.pad_token_id
    parts = []
    sizes = [(len(c), len(p)) for p, c in zip(prompt_ids, completions, strict=True)]
    for rows in _alike(policy, sizes, batch_size):
        estimate = kl.measure(
            policy, reference or policy, [prompt_ids[i] for i in rows], [completions[i] for i in rows], pad
        )
        columns = {name: column.double().cpu().numpy() for name, column in asdict(estimate).items()}
        parts.append(pd.DataFrame(columns, index=rows))
    of_prompt = _prompt_k2(policy, reference, prompt_ids, batch_size, pad)
    return pd.concat(parts).sort_index().assign(k2_prompt=of_prompt)


def _prompt_k2(
    policy: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompt_ids: list[list[int]],
    batch_size: int,
    pad: int,
) -> list[float]:
    """`kl.prompt_k2` of every prompt; equal prompts share its value."""
    if reference is None:
        return [0.0] * len(prompt_ids)
    distinct = list(dict.fromkeys(map(tuple, prompt_ids)))
    values = {
        distinct[row]: value
        for rows in _alike(policy, [(len(ids),) for ids in distinct], batch_size)
        for row, value in zip(
            rows, kl.prompt_k2(policy, reference, [distinct[i] for i in rows], pad).tolist(), strict=True
        )
    }
    return [values[tuple(ids)] for ids in prompt_ids]


def _alike(policy: PreTrainedModel, sizes: Sequence[tuple[int, ...]], batch_size: int) -> Iterator[list[int]]:
    """Rows in batches of like size, so that little of what is computed is padding.

    Args:
        sizes: lengths of each row's parts, first of the part whose logits are held.
    """
    longest = max(size[0] for size in sizes) + 1
    at_once = max(1, min(batch_size, MOST_ALIKE, MAX_LOGITS // (longest * policy.config.vocab_size)))
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for _, rows in _batches(len(order), at_once):
        yield order[rows]
