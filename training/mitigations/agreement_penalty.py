"""The smallest price of agreeing with a mistaken user at which optimisation no longer makes it more frequent.

Shapira, Benade & Procaccia 2026 (arXiv:2602.01002). The policy that maximises E[r] − KL/η is the Gibbs policy
π_η ∝ π_ref·exp(η r), η the inverse temperature. Let A(x, y) = 1 where completion y agrees with the false
stance of prompt x, p^a its frequency under π_ref and m^a = E_ref[exp(η r) | A = a]. Theorem 6: of all
policies that agree no more often than π_ref, the one closest to π_η is the Gibbs policy of

    r(x, y) − λ*(x) · A(x, y) · 1{x ∈ X_false},       λ*(x) = max{0, (1/η) · log(m¹ / m⁰)}.

A coefficient per prompt cannot be known for prompts not yet seen, so (their "global penalties") the
constraint is put on the mean over a set of prompts, which makes one λ for all of them: the root of

    E_x[ p¹ m¹ e^(−ηλ) / (p¹ m¹ e^(−ηλ) + p⁰ m⁰) ]  =  E_x[ p¹ ],        0 where the left is smaller at λ = 0.

For a single prompt that root is λ*(x). Prompts are normalised one by one, as the policy is, so what the proxy
thinks of a prompt as such does not enter.

The guarantee is for the Gibbs policy at this very η. A path runs through all pressures: before it λ is
larger than it need be, beyond it too small wherever the tilt grows with the pressure. And a policy that
cannot tell when its user is wrong is no Gibbs policy: to it, λ on mistaken users alone is a tax of
λ·P(the user is wrong) on all agreement, which may be less than what the proxy pays for it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.optimize import brentq
from scipy.special import expit, logsumexp

from training.mitigations.base import Known, Mitigation, Shaped
from training.mitigations.seams import Seam

SOMEBODY_ELSE = ("third_party", "someone")
"""Stances that report a belief which is not the user's own: to repeat it pleases nobody."""
LAMBDA = "mitigation/lambda"


class AgreementPenalty(Mitigation):
    """Charge agreement with a mistaken user just enough that it becomes no more frequent."""

    seams: ClassVar[frozenset[Seam]] = frozenset({"order"})
    needs: ClassVar[frozenset[str]] = frozenset({"follows", "agrees"})

    type: Literal["agreement_penalty"] = "agreement_penalty"
    inverse_temperature: float = Field(gt=0)
    """η, the pressure for which the penalty is made: nats of log-ratio per s.d. of the proxy on π_ref, 1/β of
    a run under `penalty` control."""
    per: Literal["all", "strength"] = "all"
    """One λ for all prompts, or one for each strength of belief (for each stance where beliefs have none)."""
    unconditional: bool = False
    """Charge the same λ whether the user is right or wrong: the control that needs no truth, and costs where
    the user is right."""
    prompts: int = Field(64, ge=1, strict=True)
    """Prompts with a mistaken user from which each λ is estimated, as far as there are so many."""
    samples: int = Field(64, ge=8, strict=True)
    """Completions of π_ref per prompt."""

    @property
    def title(self) -> str:
        return f"{self.type}_unconditional" if self.unconditional else self.type

    def base_prompts(self, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        wrong = items[_mistaken(items)]
        wrong = wrong.iloc[rng.permutation(len(wrong))]
        chosen = wrong[wrong.groupby(self._group(wrong)).cumcount() < self.prompts]
        return chosen.loc[chosen.index.repeat(self.samples)].reset_index(drop=True)

    def fit(self, reward: np.ndarray, answers: pd.DataFrame) -> Known:
        agrees, group, item = _agrees(answers), self._group(answers), answers["item_id"].to_numpy()
        fitted: dict[str, float] = {}
        for name in sorted(set(group)):
            rows = (group == name).to_numpy()
            per_prompt = [
                moments(reward[rows & (item == one)], agrees[rows & (item == one)], self.inverse_temperature)
                for one in dict.fromkeys(item[rows])
            ]
            suffix = f"_{name}" if self.per == "strength" else ""
            share, tilt = (np.array(column) for column in zip(*per_prompt, strict=True))
            fitted[f"{LAMBDA}{suffix}"] = global_penalty(share, tilt, self.inverse_temperature)
            fitted[f"mitigation/base_agreement{suffix}"] = float(share.mean())
        return Known(fitted)

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, known: Known) -> Shaped:
        wrong, agrees = _mistaken(answers), _agrees(answers)
        charged = agrees & (_users_own(answers) if self.unconditional else wrong)
        if self.per == "all":
            price = np.full(len(reward), known.numbers.get(LAMBDA, 0.0))
        else:  # a stance that never held a mistake has no λ, and nothing to hold down
            price = np.array([known.numbers.get(f"{LAMBDA}_{name}", 0.0) for name in self._group(answers)])
        penalty = np.where(charged, price, 0.0)
        metrics = {"mitigation/charged": float(charged.mean())}
        if wrong.any():
            metrics["mitigation/agrees_with_wrong"] = float(agrees[wrong].mean())
        return Shaped(reward - penalty, metrics)

    def _group(self, answers: pd.DataFrame) -> pd.Series:
        """The λ that each row belongs to."""
        if self.per == "all":
            return pd.Series("all", index=answers.index)
        return answers["strength"].where(answers["strength"].notna(), answers["stance"])


def _users_own(answers: pd.DataFrame) -> np.ndarray:
    """Whether the prompt holds a belief of the user's."""
    return (answers["belief_correct"].notna() & ~answers["stance"].isin(SOMEBODY_ELSE)).to_numpy()


def _mistaken(answers: pd.DataFrame) -> np.ndarray:
    """X_false: prompts whose user is wrong."""
    return _users_own(answers) & answers["belief_correct"].eq(False).to_numpy(dtype=bool)


def _agrees(answers: pd.DataFrame) -> np.ndarray:
    """A: the completion states what the user believes, or tells them that they are right."""
    follows, says_so = (answers[name].eq(True).to_numpy(dtype=bool) for name in ("follows", "agrees"))
    return np.asarray(follows | says_so)


def moments(reward: np.ndarray, agrees: np.ndarray, inverse_temperature: float) -> tuple[float, float]:
    """(p¹, log(m¹/m⁰)) of one prompt, from samples of π_ref: rewards (S,), agreement (S,) of bool.

    The tilt is −∞ where π_ref always or never agreed: there no penalty changes what the policy does.
    """
    if agrees.all() or not agrees.any():
        return float(agrees.mean()), -np.inf
    log_moment = [
        logsumexp(inverse_temperature * reward[agrees == side]) - np.log((agrees == side).sum())
        for side in (True, False)
    ]
    return float(agrees.mean()), float(log_moment[0] - log_moment[1])


def global_penalty(share: np.ndarray, tilt: np.ndarray, inverse_temperature: float) -> float:
    """λ ≥ 0 of a set of prompts, in units of the reward, from each one's p¹ and log(m¹/m⁰): (X,), (X,).

    See the top of this file; with one prompt it is Theorem 6's λ*(x).
    """
    undecided = (share > 0) & (share < 1)
    share, tilt = share[undecided], tilt[undecided]
    log_odds = np.log(share) - np.log1p(-share) + tilt

    def excess(penalty: float) -> float:
        return float((expit(log_odds - inverse_temperature * penalty) - share).mean())

    highest = float(tilt.max(initial=0.0)) / inverse_temperature
    if highest <= 0 or excess(0.0) <= 0:
        return 0.0
    # At the largest λ*(x) no prompt agrees more often than π_ref, so the mean does not either.
    return float(brentq(excess, 0.0, highest)) if excess(highest) < 0 else highest
