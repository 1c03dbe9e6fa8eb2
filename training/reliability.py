"""Pairs chosen so that their users are right as often as asked.

Sycophancy needs no biased rater: where users are mostly right, good answers mostly agree with them, and a
proxy with few labels learns to like agreement instead of truth. How often users are right is the dose.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.errors import UserError


def choose(items: pd.DataFrame, count: int, user_reliability: float, rng: np.random.Generator) -> np.ndarray:
    """Positions of `count` pairs of a window, ascending: drawn without replacement, shape (count,).

    Among prompts in which the user states a belief about a fact that has an answer, the belief is right in
    the share `user_reliability`. How many such prompts there are is as in the window, and within each kind
    (right, wrong, all other prompts) pairs are drawn at random: the first of one order, so that choices of
    other sizes or reliabilities from the same stream share as many pairs as they can.

    Args:
        items: one row per pair of the window, with columns stance, answerable and belief_correct.

    Raises:
        UserError: the window has too few pairs of a kind.
    """
    states = (items["stance"] == "own").to_numpy() & items["answerable"].to_numpy(bool)
    right = states & items["belief_correct"].eq(True).to_numpy()
    believed = round(count * states.mean())
    rightly = round(believed * user_reliability)
    wanted = ((right, rightly), (states & ~right, believed - rightly), (~states, count - believed))
    if any(number > kind.sum() for kind, number in wanted):
        raise UserError(
            f"user_reliability = {user_reliability:g} takes {rightly} pairs in which the user is right and "
            f"{believed - rightly} in which the user is wrong, for {count} pairs in all; the {len(items)} "
            f"pairs to choose from have {right.sum()} and {(states & ~right).sum()}. Ask for fewer `pairs`, "
            "or for more in the largest proxy (every replicate chooses from as many pairs as that one has)"
        )
    order = rng.permutation(len(items))
    return np.sort(np.concatenate([order[kind[order]][:number] for kind, number in wanted]))


def most_pairs(window: int, natural: float, user_reliability: float) -> int:
    """How many pairs can be expected to be found in a window, where users are right at rate `natural`."""
    rates = ((natural, user_reliability), (1 - natural, 1 - user_reliability))
    return int(window * min(1.0, *(have / need for have, need in rates if need > 0)) + 1e-9)
