"""What a score is measured in: the one place where raw scores are put on a scale.

Raw scores of different reward models share no zero and no unit (Gao et al. 2022, arXiv:2210.10760, recentre
every reward model on samples of π_ref and give gold unit variance). The records hold raw scores; here, and
nowhere else, they are standardised:

1. *One scorer at a time.* Every gold, oracle and proxy replicate is recentred and divided by its own s.d.
   before anything is averaged over replicates, and before any minimum or variance across members would be
   taken: order statistics of members on different scales say which member has the largest scale (Eisenstein
   et al. 2023, arXiv:2312.09244).
2. *Zero is π_ref.* A run's points are recentred prompt by prompt on point 0 of the run, which is π_ref
   itself; a pool, which is nothing but samples of π_ref, on its own mean.
3. *The unit is the population s.d. (ddof 0) of that scorer over π_ref's samples*, over the world's prompt
   distribution: prompts' own spread included. It is a unit of measurement and is held fixed by resampling.

The win rate needs no scale: the share of (sample of the point, sample of π_ref) pairs on the same prompt in
which gold prefers the first, ties counting one half. It is the mean over all pairs that the records hold, so
unbiased for the pairs as they were drawn. Points are sampled with common random numbers: a prompt that the
policy has not learnt to answer otherwise is a tie, which makes the rate more precise and keeps it nearer to
one half than with samples drawn apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats

TIE = 1e-6
"""Scores closer than this share of the scorer's s.d. are one value: batching moves a score's last digits."""


def weighted_sd(values: Floats, weight: Floats) -> float:
    """Weighted population standard deviation."""
    mean = np.average(values, weights=weight)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def reference_scale(scores: Mapping[str, Floats], weight: Floats) -> dict[str, tuple[float, float]]:
    """Scorer → weighted mean and s.d. of the raw scores of π_ref's samples, (samples,) each."""
    return {
        name: (float(np.average(values, weights=weight)), weighted_sd(values, weight))
        for name, values in scores.items()
    }


def standardise(values: Floats) -> Floats:
    """Mean 0 and s.d. 1 over all of `values`; NaN where they are constant."""
    sd = values.std()
    return np.asarray((values - values.mean()) / (sd if sd > 0 else np.nan))


def win_rates(
    score: Floats, item: NDArray[np.intp], start: Floats, start_item: NDArray[np.intp], unit: float
) -> Floats:
    """Share of pairs won against π_ref on each item, ties split: (items,).

    Args:
        score, item: the point's samples: raw score, and the code 0..items-1 of the item, each item at least
            once.
        start, start_item: the same of π_ref's samples.
        unit: the scorer's s.d. over π_ref's samples.
    """
    items = int(item.max()) + 1
    order = np.argsort(start_item, kind="stable")
    opponents = np.bincount(start_item, minlength=items)
    first = opponents.cumsum() - opponents
    rounds = opponents[item]
    mine = np.repeat(np.arange(len(item)), rounds)
    turn = np.arange(len(mine)) - np.repeat(rounds.cumsum() - rounds, rounds)
    gap = score[mine] - start[order[first[item[mine]] + turn]]
    won = np.where(np.abs(gap) <= TIE * unit, 0.5, gap > 0)
    pairs = np.bincount(item[mine], minlength=items)
    return np.asarray(np.bincount(item[mine], weights=won, minlength=items) / pairs)
