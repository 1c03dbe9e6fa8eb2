"""KL against enumeration: with three tokens and at most four places, every completion can be written down."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny import absolute_model, language_model, log_prob, log_probs, sequences
from transformers import PreTrainedModel

from training.sampling import kl

A, B, EOS = 0, 1, 2
PROMPT = (A, B, A)
ALL = list(sequences(3, 4, EOS))
POLICY = language_model(3, seed=1, pad=None, eos=EOS)
REFERENCE = language_model(3, seed=2, pad=None, eos=EOS)


def measured(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    pad: int = EOS,
) -> dict[str, np.ndarray]:
    estimate = kl.measure(policy, reference, prompts, completions, pad)
    return {name: value.double().numpy() for name, value in asdict(estimate).items()}


@pytest.fixture(scope="module")
def estimates() -> dict[str, np.ndarray]:
    """Every estimator on each of the 31 possible completions, all in one padded batch."""
    return measured(POLICY, REFERENCE, [PROMPT] * len(ALL), ALL)


@pytest.fixture(scope="module")
def probability() -> np.ndarray:
    """π of each possible completion, computed without any batching."""
    return np.exp([log_prob(POLICY, PROMPT, y) for y in ALL])


@pytest.fixture(scope="module")
def truth() -> float:
    """KL(π‖π_ref) in nats per sequence, straight from its definition."""
    logp = np.array([log_prob(POLICY, PROMPT, y) for y in ALL])
    logq = np.array([log_prob(REFERENCE, PROMPT, y) for y in ALL])
    return float((np.exp(logp) * (logp - logq)).sum())


def test_the_enumeration_is_complete(probability: np.ndarray, truth: float) -> None:
    assert len(ALL) == len(set(ALL)) == 31
    assert probability.sum() == pytest.approx(1, abs=1e-6)
    assert truth > 0.2  # otherwise the comparisons below would say little


def test_log_probabilities_are_those_of_each_model_by_itself(estimates: dict[str, np.ndarray]) -> None:
    for name, model in (("logp", POLICY), ("logp_ref", REFERENCE)):
        np.testing.assert_allclose(estimates[name], [log_prob(model, PROMPT, y) for y in ALL], atol=1e-5)


@pytest.mark.parametrize("name", ["kl", "k1", "k3"])
def test_unbiased_estimators_average_to_the_kl_of_whole_sequences(
    name: str, estimates: dict[str, np.ndarray], probability: np.ndarray, truth: float
) -> None:
    assert (probability * estimates[name]).sum() == pytest.approx(truth, rel=1e-4)


def test_k2_is_biased(estimates: dict[str, np.ndarray], probability: np.ndarray, truth: float) -> None:
    assert abs((probability * estimates["k2"]).sum() - truth) > 0.05 * truth


def test_the_exact_estimator_has_the_least_variance(
    estimates: dict[str, np.ndarray], probability: np.ndarray, truth: float
) -> None:
    def variance(name: str) -> float:
        return float((probability * (estimates[name] - truth) ** 2).sum())

    assert variance("kl") < variance("k3") and variance("kl") < 0.5 * variance("k1")


def test_draws_agree_with_the_enumeration(
    estimates: dict[str, np.ndarray], probability: np.ndarray, truth: float
) -> None:
    rows = np.random.default_rng(0).choice(len(ALL), size=100_000, p=probability / probability.sum())
    for name in ("kl", "k1", "k3"):
        drawn = estimates[name][rows]
        assert drawn.mean() == pytest.approx(truth, abs=4 * drawn.std() / np.sqrt(len(drawn)))
    assert estimates["kl"][rows].mean() == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize("row", [0, 5, 14, 30])
def test_every_estimator_of_one_sequence(row: int, estimates: dict[str, np.ndarray]) -> None:
    completion = ALL[row]
    logp, logq = log_probs(POLICY, PROMPT, completion), log_probs(REFERENCE, PROMPT, completion)
    ratio = (logp - logq)[range(len(completion)), list(completion)]
    expected = {
        "kl": (logp.exp() * (logp - logq)).sum(),
        "kl_reverse": (logq.exp() * (logq - logp)).sum(),
        "k1": ratio.sum(),
        "k2": (ratio**2 / 2).sum(),
        "k3": (torch.exp(-ratio) - 1 + ratio).sum(),
        "k1_clamped": ratio[ratio > 0].sum(),
    }
    for name, value in expected.items():
        assert estimates[name][row] == pytest.approx(float(value), rel=1e-5, abs=2e-5), name


def test_reverse_is_the_other_direction_along_the_same_prefixes(estimates: dict[str, np.ndarray]) -> None:
    swapped = measured(REFERENCE, POLICY, [PROMPT] * len(ALL), ALL)
    np.testing.assert_allclose(estimates["kl_reverse"], swapped["kl"], atol=1e-5)
    np.testing.assert_allclose(estimates["k1"], -swapped["k1"], atol=1e-5)
    assert np.abs(estimates["kl_reverse"] - estimates["kl"]).max() > 0.05


@pytest.mark.parametrize("make", [language_model, absolute_model])
def test_identical_policies_read_exactly_zero(make: Callable[..., PreTrainedModel]) -> None:
    policy = make(3, 4)
    for reference in (policy, copy.deepcopy(policy)):
        values = measured(policy, reference, [PROMPT, (B,), (A, A)], [ALL[30], ALL[0], ALL[7]])
        assert all((values[name] == 0).all() for name in kl.ESTIMATORS)
        assert (values["logp"] < 0).all() and (values["logp"] == values["logp_ref"]).all()


@pytest.mark.parametrize("make", [language_model, absolute_model])
def test_neither_padding_nor_company_changes_a_sequence(make: Callable[..., PreTrainedModel]) -> None:
    policy, reference = make(3, 5), make(3, 6)
    prompts = [PROMPT, (B,), (A, A, B, B, A, B), (B, B)]
    completions = [ALL[2], ALL[30], ALL[0], ALL[9]]
    alone = [measured(policy, reference, [p], [c]) for p, c in zip(prompts, completions, strict=True)]
    for pad in (A, B, EOS):
        together = measured(policy, reference, prompts, completions, pad)
        for name in kl.ESTIMATORS:
            np.testing.assert_allclose(together[name], [one[name][0] for one in alone], atol=1e-5)


@pytest.mark.parametrize("make", [language_model, absolute_model])
def test_k2_of_a_prompt_is_that_of_its_tokens_after_the_first(make: Callable[..., PreTrainedModel]) -> None:
    policy, reference = make(3, 5), make(3, 6)
    prompts = [PROMPT, (B,), (A, A, B, B, A, B)]
    expected = []
    for first, *rest in prompts:
        taken = [log_probs(m, (first,), rest)[range(len(rest)), rest] for m in (policy, reference) if rest]
        expected.append(float(((taken[0] - taken[1]) ** 2).sum() / 2) if rest else 0.0)
    for pad in (A, EOS):
        found = kl.prompt_k2(policy, reference, prompts, pad)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert expected[0] > 1e-3 and expected[1] == 0
    assert kl.prompt_k2(policy, reference, [(B,)], EOS).tolist() == [0.0]
    assert (kl.prompt_k2(policy, copy.deepcopy(policy), prompts, EOS) == 0).all()


def test_a_coin_in_nats() -> None:
    fair, loaded = torch.log(torch.tensor([[[0.5, 0.5]]])), torch.log(torch.tensor([[[0.9, 0.1]]]))
    one = kl.from_logits(fair, loaded, torch.tensor([[0]]), torch.ones(1, 1))
    assert one.kl.item() == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1))
    assert one.kl_reverse.item() == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5))
    assert one.k1.item() == pytest.approx(math.log(0.5 / 0.9))


def test_a_sequence_of_equal_steps_costs_their_sum_and_masked_steps_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, logits_ref = (torch.randn(1, 1, 5, generator=generator) for _ in range(2))
    ids = torch.tensor([[3]])
    one = asdict(kl.from_logits(logits, logits_ref, ids, torch.ones(1, 1)))
    mask = torch.tensor([[1, 1, 1, 0, 0]])
    five = asdict(kl.from_logits(logits.expand(1, 5, 5), logits_ref.expand(1, 5, 5), ids.expand(1, 5), mask))
    for name in one:
        assert five[name].item() == pytest.approx(3 * one[name].item(), rel=1e-5)


def test_logits_need_no_normalising() -> None:
    logits, logits_ref = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]])
    ids, mask = torch.tensor([[1]]), torch.ones(1, 1)
    plain = kl.from_logits(logits, logits_ref, ids, mask)
    shifted = kl.from_logits(logits + 40, logits_ref - 7, ids, mask)
    for name, value in asdict(plain).items():
        assert asdict(shifted)[name].item() == pytest.approx(value.item(), abs=1e-5)
