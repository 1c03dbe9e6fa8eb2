"""The one definition of KL: KL(π‖π_ref) in nats per sequence, at the sampling distribution.

For a completion y = (y_1 … y_T), EOS included, sampled from π after the prompt x, with prefix s_t:

    kl          Σ_t Σ_v π(v|s_t) log(π(v|s_t) / π_ref(v|s_t))     exact per position, unbiased over y ~ π
    k1          Σ_t log π(y_t|s_t) / π_ref(y_t|s_t)               unbiased, noisier
    k2          Σ_t ½ (log-ratio)²                                biased
    k3          Σ_t (exp(−log-ratio) − 1 + log-ratio)             unbiased per position
    kl_reverse  Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t))                   along π's own prefixes
    k1_clamped  Σ_t max(log-ratio, 0)                             biased upwards: no negative term cancels
    k2_prompt   Σ ½ (log-ratio)² over the *prompt's* tokens       no KL of the policy: a prompt is not sampled

The first is the Rao–Blackwellised estimator (Amini et al. 2025, arXiv 2504.10637, §3) and is what every
axis shows; k1–k3 are Schulman's ("Approximating KL divergence", 2020). The last two exist because published
curves are drawn over them. All are reported so that numbers in any paper's convention can be compared; who
uses which is in `analysis.equal_kl.passport`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

Ids = Sequence[int]
ESTIMATORS = ("kl", "k1", "k2", "k3", "kl_reverse", "k1_clamped")
"""Those of a completion; `k2_prompt` is measured apart (`prompt_k2`)."""


@dataclass(frozen=True)
class SequenceKL:
    """Per-sequence sums over completion tokens, each of shape (B,), in nats."""

    logp: torch.Tensor
    logp_ref: torch.Tensor
    kl: torch.Tensor
    k1: torch.Tensor
    k2: torch.Tensor
    k3: torch.Tensor
    kl_reverse: torch.Tensor
    k1_clamped: torch.Tensor


def from_logits(
    logits: torch.Tensor, logits_ref: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor
) -> SequenceKL:
    """Every estimator from the two models' logits along the same sampled prefixes.

    Args:
        logits, logits_ref: (B, T, V), the predictions *for* each completion token.
        ids: (B, T) sampled tokens.
        mask: (B, T) 1 for completion tokens including EOS, 0 for padding.
    """
    log_pi = torch.log_softmax(logits.float(), -1)
    log_ref = torch.log_softmax(logits_ref.float(), -1)
    mask = mask.to(log_pi.dtype)
    gap = log_pi - log_ref
    forward = (log_pi.exp() * gap).sum(-1)
    reverse = -(log_ref.exp() * gap).sum(-1)
    taken = log_pi.gather(-1, ids[..., None])[..., 0]
    taken_ref = log_ref.gather(-1, ids[..., None])[..., 0]
    ratio = taken - taken_ref

    def total(per_token: torch.Tensor) -> torch.Tensor:
        return (per_token * mask).sum(-1)

    return SequenceKL(
        logp=total(taken),
        logp_ref=total(taken_ref),
        kl=total(forward),
        k1=total(ratio),
        k2=total(0.5 * ratio**2),
        k3=total(torch.exp(-ratio) - 1 + ratio),
        kl_reverse=total(reverse),
        k1_clamped=total(ratio.clamp(min=0)),
    )


@torch.inference_mode()
def measure(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    prompts: Sequence[Ids],
    completions: Sequence[Ids],
    pad: int,
) -> SequenceKL:
    """Every estimator for completions sampled from `policy` at temperature 1 over the full vocabulary.

    Args:
        prompts, completions: B token-id lists each; a completion ends with EOS if the policy emitted it.
        pad: id of the padding token.
    """
    width, length = max(map(len, prompts)), max(map(len, completions))
    ids = torch.full((len(prompts), width + length), pad)
    mask = torch.zeros_like(ids)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        both = [*prompt, *completion]
        start = width - len(prompt)  # prompts end in the same column
        ids[row, start : start + len(both)] = torch.as_tensor(both)
        mask[row, start : start + len(both)] = 1
    ids, mask = ids.to(policy.device), mask.to(policy.device)
    # Left padding shifts absolute positions; models with rotary embeddings do not care, others need ids.
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": positions,
        "logits_to_keep": length + 1,
        "use_cache": False,
    }
    logits = policy(**inputs).logits[:, :-1]
    logits_ref = logits if reference is policy else reference(**inputs).logits[:, :-1]
    return from_logits(logits, logits_ref, ids[:, width:], mask[:, width:])


@torch.inference_mode()
def prompt_k2(
    policy: PreTrainedModel, reference: PreTrainedModel, prompts: Sequence[Ids], pad: int
) -> torch.Tensor:
    """`k2_prompt` of each prompt, shape (B,), in nats: Σ ½ (log π(x_t|x_<t) / π_ref(x_t|x_<t))² over its
    tokens
    from the second on, as nothing predicts the first.

    A pass of its own over the prompts: completions are measured to the last bit as if it were not there.
    """
    ids = torch.full((len(prompts), max(map(len, prompts))), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.as_tensor(prompt)
        mask[row, : len(prompt)] = 1
    ids, mask = ids.to(policy.device), mask.to(policy.device)
    inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
    logits, logits_ref = (model(**inputs).logits[:, :-1] for model in (policy, reference))
    return from_logits(logits, logits_ref, ids[:, 1:], mask[:, 1:]).k2
