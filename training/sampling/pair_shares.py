"""Pairs chosen so that one thing about their prompts is as common as asked.

Sycophancy needs no biased annotator: where users are mostly right, good answers mostly agree with them, and a
proxy with few labels learns to like agreement instead of truth. How often users are right is the dose. In
the same way, what annotators verify only under a tag depends on how many labels carry that tag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from training.errors import UserError


def _users(items: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    states = (items["stance"] == "own").to_numpy() & items["answerable"].to_numpy(bool)
    right = items["belief_correct"].eq(True).to_numpy()
    return states & right, states & ~right


def _tagged(items: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    tagged, monitored = items["tag"].notna().to_numpy(), items["monitored"].to_numpy(bool)
    return tagged & monitored, tagged & ~monitored


SHARES: Mapping[str, Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]] = {
    "user_reliability": _users,
    "monitored_share": _tagged,
}
"""Field of a proxy → which prompts it is a share of, those that count and those that do not: users' beliefs
about facts that have an answer, right or wrong; tagged prompts, monitored or private."""

SPARE = 1.15
"""More pairs than a choice takes on average, for prompts are drawn."""


def choose(items: pd.DataFrame, count: int, field: str, share: float, rng: np.random.Generator) -> np.ndarray:
    """Positions of `count` pairs of a window, ascending: drawn without replacement, shape (count,).

    Among the prompts that `SHARES[field]` speaks of, those that count make up `share`. How many such prompts
    there are is as in the window, and within each kind (counting, not counting, all others) pairs are drawn
    at random: the first of one order, so that choices of other sizes or shares from the same stream share as
    many pairs as they can.

    Args:
        items: one row per pair of the window, with the columns of the world's items.

    Raises:
        UserError: the window has too few pairs of a kind.
    """
    yes, no = SHARES[field](items)
    spoken = round(count * (yes | no).mean())
    rightly = round(spoken * share)
    wanted = ((yes, rightly), (no, spoken - rightly), (~(yes | no), count - spoken))
    if any(number > kind.sum() for kind, number in wanted):
        raise UserError(
            f"{field} = {share:g} takes {rightly} pairs that count and {spoken - rightly} that do not, for "
            f"{count} pairs in all; the {len(items)} pairs to choose from have {yes.sum()} and {no.sum()}. "
            "Give any proxy more `pairs`: all choose from as many as the largest needs"
        )
    order = rng.permutation(len(items))
    return np.sort(np.concatenate([order[kind[order]][:number] for kind, number in wanted]))


def pairs_needed(count: int, natural: float, share: float) -> float:
    """How many pairs, as they come with a share of `natural`, a choice of `count` of them takes; infinite
    where no number would do."""
    kinds = ((natural, share), (1 - natural, 1 - share))
    scarcer = max(asked / have if have > 0 else math.inf for have, asked in kinds if asked > 0)
    return count * max(1.0, scarcer * SPARE)
