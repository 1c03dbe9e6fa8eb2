"""The KL meter and the sampler against enumeration, on random networks and on draws from a policy.

A check is a function that measures how wrong a part is; parts with a planted bug must come out wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from laboratory import NETWORK, Laboratory, unlike
from scipy import stats
from transformers import GenerationConfig, PreTrainedModel

from analysis.pool import exact
from analysis.pool.exact import Floats
from training.exact.enumeration import Enumeration
from training.sampling import kl, sample

INSTANCES = 100
TOLERANCE = 0.01
"""Relative, of an estimator's expectation; a sound one differs by fp32 rounding alone."""
DRAWS = 6000
SIGNIFICANT = 1e-4

Meter = Callable[..., Mapping[str, torch.Tensor]]


def sound_meter(policy: PreTrainedModel, reference: PreTrainedModel, *sequences: Any) -> dict[str, Any]:
    return asdict(kl.measure(policy, reference, *sequences))


def errors(meter: Meter, enumeration: Enumeration, count: int) -> dict[str, float]:
    """Largest relative error of every estimator's expectation under π, over `count` random instances."""
    tokenizer, tree = enumeration.world.tokenizer(), enumeration.tree
    policy, reference = (NETWORK.build(tokenizer, 16, seed=0).eval() for _ in range(2))
    prompts = [prompt for prompt in enumeration.prompt_ids for _ in tree.completions]
    completions = list(tree.completions) * len(enumeration.prompt_ids)
    worst = dict.fromkeys(kl.ESTIMATORS, 0.0)
    for seed in range(count):
        p = enumeration.conditionals(unlike(policy, 2 * seed))
        q = enumeration.conditionals(unlike(reference, 2 * seed + 1))
        truth = tree.estimators(p, q)
        probability = np.exp(tree.log_prob(p))
        measured = meter(policy, reference, prompts, completions, tokenizer.pad_token_id)
        for name in kl.ESTIMATORS:
            mean = (probability * measured[name].double().numpy().reshape(probability.shape)).sum(axis=1)
            worst[name] = max(worst[name], float(np.abs(mean / truth[name] - 1).max()))
    return worst


def test_every_estimator_averages_to_its_exact_value(laboratory: Laboratory) -> None:
    worst = errors(sound_meter, laboratory.enumeration, INSTANCES)
    assert max(worst.values()) < TOLERANCE / 10, worst


def test_three_of_them_are_unbiased_for_the_kl_of_whole_sequences(laboratory: Laboratory) -> None:
    """The tree's sums over prefixes and the plain sum over completions are the same number."""
    enumeration, tokenizer = laboratory.enumeration, laboratory.enumeration.world.tokenizer()
    p, q = (
        enumeration.conditionals(unlike(NETWORK.build(tokenizer, 16, seed=0).eval(), seed)) for seed in (1, 2)
    )
    tree = enumeration.tree
    log_p, log_q = tree.log_prob(p), tree.log_prob(q)
    whole, by_prefix = exact.kl(log_p, log_q), tree.estimators(p, q)
    assert (whole > 0.1).all()
    for name in ("kl", "k1", "k3"):
        np.testing.assert_allclose(by_prefix[name], whole, rtol=1e-9)
    # The others are not: k2 is biased, and kl_reverse follows π's prefixes where KL(π_ref‖π) has π_ref's.
    assert np.abs(by_prefix["k2"] / whole - 1).max() > 10 * TOLERANCE
    assert np.abs(by_prefix["kl_reverse"] / exact.kl(log_q, log_p) - 1).max() > 10 * TOLERANCE


def _swapped(policy: PreTrainedModel, reference: PreTrainedModel, *sequences: Any) -> dict[str, Any]:
    return sound_meter(reference, policy, *sequences)


def _per_token(
    policy: PreTrainedModel, reference: PreTrainedModel, prompts: Any, completions: Any, pad: int
) -> dict[str, Any]:
    length = torch.tensor([len(completion) for completion in completions])
    measured = sound_meter(policy, reference, prompts, completions, pad)
    return {name: value / length for name, value in measured.items()}


def _stale_reference(policy: PreTrainedModel, reference: PreTrainedModel, *sequences: Any) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weight = reference.get_input_embeddings().weight
        moved = weight + 0.1 * torch.randn_like(weight)
    kept = weight.detach().clone()
    weight.data.copy_(moved)
    measured = sound_meter(policy, reference, *sequences)
    weight.data.copy_(kept)
    return measured


def _eos_left_out(
    policy: PreTrainedModel, reference: PreTrainedModel, prompts: Any, completions: Any, pad: int
) -> dict[str, Any]:
    eos = policy.config.eos_token_id
    cut = [c[:-1] if c[-1] == eos and len(c) > 1 else c for c in completions]
    return sound_meter(policy, reference, prompts, cut, pad)


@pytest.mark.parametrize("broken", [_swapped, _per_token, _stale_reference, _eos_left_out])
def test_a_broken_meter_is_caught_in_every_estimator(broken: Meter, laboratory: Laboratory) -> None:
    worst = errors(broken, laboratory.enumeration, 5)
    if broken is _swapped:  # a wrong sign, which the square in k2 cannot show
        assert worst.pop("k2") < TOLERANCE
    assert min(worst.values()) > TOLERANCE, worst


# ---------------------------------------------------------------- the sampler, and the meter on its draws


def drawn(laboratory: Laboratory) -> tuple[pd.DataFrame, Floats, Floats]:
    """Samples of a policy away from π_ref, with log π(token | prefix) of both."""
    enumeration = laboratory.enumeration
    reference = sample.load_policy(laboratory.reference)
    policy = sample.load_policy(laboratory.reference)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for parameter in policy.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    table = sample.draw(
        policy,
        reference,
        enumeration.world.tokenizer(),
        enumeration.items,
        samples=DRAWS // len(enumeration.items),
        max_tokens=enumeration.world.max_completion_tokens,
        seed=0,
        batch_size=2048,
    )
    return table, enumeration.conditionals(policy), enumeration.conditionals(reference)


def law_p_value(laboratory: Laboratory, table: pd.DataFrame, conditionals: Floats) -> float:
    """Smallest χ² p-value over prompts that completions were drawn from exactly this law."""
    enumeration = laboratory.enumeration
    probability = np.exp(enumeration.tree.log_prob(conditionals))
    place = {completion: i for i, completion in enumerate(enumeration.tree.completions)}
    values = []
    for row, item in enumerate(enumeration.items["item_id"]):
        mine = table.loc[table["item_id"] == item, "ids"]
        count = np.bincount([place[tuple(ids)] for ids in mine], minlength=len(place))
        expected = probability[row] / probability[row].sum() * len(mine)
        rare = expected < 5  # these share a cell
        cells = [np.append(c[~rare], c[rare].sum()) for c in (count, expected)]
        values.append(stats.chisquare(*cells).pvalue)
    return float(min(values))


def deviations(laboratory: Laboratory, table: pd.DataFrame, p: Floats, q: Floats) -> dict[str, float]:
    """How many standard errors each measured mean is from its exact value: estimators, oracle, behaviours."""
    enumeration = laboratory.enumeration
    truth = dict(enumeration.tree.estimators(p, q))
    outcomes = enumeration.world.outcomes(table, enumeration.items)
    values = {name: table[name].to_numpy() for name in truth}
    log_p = enumeration.tree.log_prob(p)
    for name in ("correct", "praise", "words"):
        truth[name] = exact.expected(log_p, enumeration.behaviour(name))
        values[name] = outcomes[name].to_numpy(dtype=float)
    truth["oracle"] = exact.expected(log_p, laboratory.oracle)
    oracle = enumeration.world.oracle(table, outcomes, enumeration.items)
    assert oracle is not None
    values["oracle"] = oracle
    far = {}
    for name, value in values.items():
        # Every prompt has as many samples as the next.
        error = value.reshape(len(enumeration.items), -1) - truth[name][:, None]
        far[name] = float(np.abs(error.mean()) / (error.std() / np.sqrt(error.size)))
    return far


def test_draws_follow_the_exact_law_and_their_means_its_values(laboratory: Laboratory) -> None:
    table, p, q = drawn(laboratory)
    assert (exact.kl(*(laboratory.enumeration.tree.log_prob(c) for c in (p, q))) > 0.1).all()
    assert law_p_value(laboratory, table, p) > SIGNIFICANT
    far = deviations(laboratory, table, p, q)
    assert max(far.values()) < 4, far


def test_top_k_sampling_is_caught(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def top_k(**settings: Any) -> GenerationConfig:
        return GenerationConfig(**settings | {"top_k": 2})

    monkeypatch.setattr(sample, "GenerationConfig", top_k)
    table, p, q = drawn(laboratory)
    assert law_p_value(laboratory, table, p) < SIGNIFICANT
    assert deviations(laboratory, table, p, q)["k1"] > 4
