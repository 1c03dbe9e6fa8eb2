"""The card every reward model carries: how well it predicts held-out labels, and what it leans on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from reward_models.errors import Diverged

BINS = 10


def require_finite_rewards(what: str, rewards: np.ndarray) -> None:
    """Refuse raw rewards that are no numbers.

    Raises:
        Diverged: one is not finite.
    """
    lost = int((~np.isfinite(rewards)).sum())
    if lost:
        raise Diverged(f"{what} gives {lost} of {rewards.size} completions a value that is not finite")


def require_scale(what: str, rewards: np.ndarray) -> None:
    """Refuse raw rewards that have no scale: nothing could be standardised, labelled or optimised by them.

    Raises:
        Diverged: one is not finite, or all are the same to seven digits.
    """
    require_finite_rewards(what, rewards)
    if rewards.std() <= 1e-7 * abs(rewards.mean()):
        raise Diverged(
            f"{what} gives all {rewards.size} completions the same value ({rewards.flat[0]:g}): it tells "
            "nothing apart. Its weights may be damaged, or its training may have diverged."
        )


def wilson(successes: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927), which stays inside [0, 1] and is sound near its ends."""
    low, high = binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def agreement(margin: np.ndarray, other: np.ndarray) -> float | None:
    """Share of pairs that two sets of reward margins order alike; pairs that either ties are left out."""
    clear = (margin != 0) & (other != 0)
    return float((np.sign(margin[clear]) == np.sign(other[clear])).mean()) if clear.any() else None


def correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson correlation; None where either does not vary."""
    return float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 and y.std() > 0 else None


def reliability(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error and the reliability curve behind it (Guo et al. 2017, §2).

    Args:
        confidence: probability, at least ½, that the model gives to the order it predicts, shape (P,).
        correct: whether the label agrees, shape (P,).
    """
    bins = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    curve = []
    for index in np.unique(bins):
        inside = bins == index
        curve.append(
            {
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(correct[inside].mean()),
                "count": int(inside.sum()),
            }
        )
    error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in curve) / len(bins)
    return float(error), curve


def card(
    *,
    name: str,
    kind: str,
    pairs: int,
    rewards: np.ndarray,
    lengths: np.ndarray,
    labels: np.ndarray,
    oracle: np.ndarray | None,
    gold: np.ndarray | None,
) -> dict[str, Any]:
    """The calibration card from held-out pairs.

    Args:
        rewards, lengths, oracle, gold: shape (P, 2), both completions of each held-out pair.
        labels: shape (P,), True where those who labelled this model's data preferred the first completion.

    Raises:
        Diverged: the rewards are not finite, or all alike.
    """
    require_scale(name, rewards)
    margin = rewards[:, 0] - rewards[:, 1]
    correct = (margin > 0) == labels
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    error, curve = reliability(confidence, correct)
    return {
        "name": name,
        "kind": kind,
        "pairs": pairs,
        "heldout_pairs": len(labels),
        "accuracy": float(correct.mean()),
        "accuracy_ci": list(wilson(int(correct.sum()), len(correct))),
        "ece": error,
        "reliability": curve,
        "length_correlation": correlation(rewards.ravel(), lengths.ravel().astype(float)),
        "oracle_agreement": None if oracle is None else agreement(margin, oracle[:, 0] - oracle[:, 1]),
        "gold_agreement": None if gold is None else agreement(margin, gold[:, 0] - gold[:, 1]),
    }
