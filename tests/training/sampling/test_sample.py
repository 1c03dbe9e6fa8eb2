"""Sampling: the model's own distribution, a random stream of its own, and log-probabilities that are its."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from tiny import EOS, PAD, language_model, log_prob, log_probs, sequences, tokenizer
from transformers import GenerationConfig, PreTrainedModel

from reward_models.backbone import Pretrained
from training.sampling import sample

WORDS = tokenizer(["a", "b"])  # and <pad>, <eos>, <unk>: five tokens, all of which a random policy says
POLICY = language_model(5, seed=1)
ITEMS = pd.DataFrame({"item_id": ["x", "y"], "prompt": ["a", "b a b b"]})


def complete(policy: PreTrainedModel = POLICY, *, count: int = 64, seed: int = 0, max_tokens: int = 3,
             prompts: Sequence[str] = ("a", "b a b b")) -> list[list[int]]:  # fmt: skip
    """`count` completions of each prompt, the prompts of a batch differing in length."""
    return sample.complete(policy, WORDS, list(prompts) * count, max_tokens, seed, batch_size=1024)


def p_value(drawn: Sequence[Sequence[int]], policy: PreTrainedModel, prompt: str, max_tokens: int) -> float:
    """Chi-square of completions against the enumerated distribution; rare ones share a cell."""
    vocabulary = policy.config.vocab_size
    every = list(sequences(vocabulary, max_tokens, EOS))
    ids = WORDS(prompt)["input_ids"]
    expected = len(drawn) * np.exp([log_prob(policy, ids, y) for y in every])
    counts = Counter(map(tuple, drawn))
    observed = np.array([counts[y] for y in every])
    assert observed.sum() == len(drawn), "every completion ends at EOS or at full length"
    common = expected >= 5
    cells = [np.append(each[common], each[~common].sum()) for each in (observed, expected)]
    filled = cells[1] > 0
    return float(stats.chisquare(cells[0][filled], cells[1][filled], sum_check=False).pvalue)


@pytest.mark.parametrize("row", [0, 1])
def test_completions_follow_the_models_own_distribution(row: int) -> None:
    drawn = complete(count=3000)[row::2]
    assert p_value(drawn, POLICY, ITEMS["prompt"][row], 3) > 1e-3


def test_the_whole_vocabulary_can_be_said() -> None:
    """transformers cuts the 50 most likely tokens out by default."""
    policy = language_model(90, seed=2, spread=0.05)
    drawn = complete(policy, count=6000, max_tokens=1, prompts=["a"])
    assert p_value(drawn, policy, "a", 1) > 1e-3


def test_sampling_advice_that_comes_with_a_pretrained_model_is_not_followed(tmp_path: Path) -> None:
    """transformers fills whatever a sampler leaves open from the model's own generation_config."""
    card = GenerationConfig(do_sample=True, temperature=0.3, repetition_penalty=8.0, top_k=2, min_p=0.5,
                            suppress_tokens=[4], eos_token_id=[EOS, 3])  # fmt: skip
    POLICY.save_pretrained(tmp_path / "hub")
    card.save_pretrained(tmp_path / "hub")
    Pretrained(path=str(tmp_path / "hub")).build(WORDS, 16, 0).save_pretrained(tmp_path / "reference")
    policy = sample.load_policy(tmp_path / "reference")
    assert complete(policy) == complete(POLICY)


def test_the_same_seed_gives_the_same_text_whatever_happened_before() -> None:
    first = complete(seed=3)
    torch.manual_seed(99)
    torch.rand(7)
    assert complete(seed=3) == first
    assert complete(seed=4) != first


def test_global_random_states_are_left_as_they_were() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    drawn(POLICY, None)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1] and random.getstate() == before[2]


def test_policies_share_their_random_numbers() -> None:
    """A policy that moved a little says nearly the same, so differences between points are its own."""
    moved = language_model(5, seed=1)
    with torch.no_grad():
        for weight in moved.parameters():
            weight.mul_(1.001)
    same = np.mean([a == b for a, b in zip(complete(count=300), complete(moved, count=300), strict=True)])
    independent = np.mean(
        [a == b for a, b in zip(complete(count=300), complete(count=300, seed=1), strict=True)]
    )
    assert same > 0.97 > 0.5 > independent


def drawn(policy: PreTrainedModel, reference: PreTrainedModel | None, samples: int = 20) -> pd.DataFrame:
    return sample.draw(policy, reference, WORDS, ITEMS, samples=samples, max_tokens=4, seed=0, batch_size=16)


def test_a_table_of_samples_says_what_was_sampled() -> None:
    table = drawn(POLICY, language_model(5, seed=2))
    assert table["item_id"].tolist() == ["x"] * 20 + ["y"] * 20
    assert table["sample_id"].tolist() == [f"{i:03d}" for i in range(20)] * 2
    assert (table["length"] == table["ids"].map(len)).all() and table["length"].between(1, 4).all()
    ended = table["ids"].map(lambda ids: ids[-1] == EOS)
    assert (table["finished"] == ended).all() and 0 < ended.sum() < len(table)
    assert (table["ids"].map(lambda ids: EOS in ids[:-1])).sum() == 0
    assert (table.loc[~ended, "length"] == 4).all()
    assert not table["completion"].str.contains("<").any(), "special tokens are no text"


def test_every_number_of_a_sample_comes_from_its_own_forward_pass() -> None:
    reference = language_model(5, seed=2)
    prompts = {item: WORDS(prompt)["input_ids"] for item, prompt in ITEMS.itertuples(index=False)}
    for row in drawn(POLICY, reference, samples=8).itertuples():
        logp, logq = (log_probs(model, prompts[row.item_id], row.ids) for model in (POLICY, reference))
        assert row.logp == pytest.approx(log_prob(POLICY, prompts[row.item_id], row.ids), abs=1e-4)
        assert row.logp_ref == pytest.approx(log_prob(reference, prompts[row.item_id], row.ids), abs=1e-4)
        assert row.kl == pytest.approx(float((logp.exp() * (logp - logq)).sum()), abs=1e-4)
        first, *rest = prompts[row.item_id]
        k2 = 0.0
        if rest:
            gap = log_probs(POLICY, (first,), rest) - log_probs(reference, (first,), rest)
            k2 = float((gap[range(len(rest)), rest] ** 2).sum() / 2)
        assert row.k2_prompt == pytest.approx(k2, abs=1e-4)


def test_the_reference_is_at_exactly_no_distance_from_itself() -> None:
    table = drawn(POLICY, None)
    assert (table[["kl", "k1", "k2", "k3", "kl_reverse", "k1_clamped", "k2_prompt"]] == 0).all(axis=None)


def test_a_vocabulary_too_large_for_one_batch_is_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(POLICY, language_model(5, seed=2))
    monkeypatch.setattr(sample, "MAX_LOGITS", 60)  # two sequences of six places and five tokens
    parts = drawn(POLICY, language_model(5, seed=2))
    pd.testing.assert_frame_equal(parts, whole, atol=1e-5)


def test_a_loaded_policy_is_frozen_and_silent(tmp_path: Path) -> None:
    model = language_model(5, seed=1)
    model.train().save_pretrained(tmp_path)
    policy = sample.load_policy(tmp_path)
    assert not policy.training and policy.dtype == torch.float32
    assert not any(weight.requires_grad for weight in policy.parameters())
    assert policy.config.pad_token_id == PAD
