"""How each way of spending KL looks and what people call it: the same in every figure of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import cycle

from analysis.figures.drawing.style import (
    BLACK,
    BLUE,
    DASH_DOTTED,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    SOLID,
    Look,
)
from analysis.records.way import POOL, Way

FRONTIER = "frontier"
"""What stands in a column of ways for the reference policy reweighted, without any training."""
KNOWN: Mapping[str, Look] = {
    "rloo": Look("RLOO", BLUE, SOLID, "o"),
    "grpo": Look("GRPO", ORANGE, DASHED, "s"),
    "ppo": Look("PPO", GREEN, DASH_DOTTED, "^"),
    "dpo": Look("DPO", RED, SOLID, "D"),
    "kto": Look("KTO", PINK, DASHED, "v"),
    "online_dpo": Look("online DPO", SKY, DASH_DOTTED, "P"),
    "best_of_n_distilled": Look("best of n, distilled", BLACK, (0, (6, 1.5)), "X"),
    "best_of_n": Look("best of n", "#8C564B", DASHED, ">"),
}
"""Methods whose look is fixed. A method that is not here gets a spare one and is called by its own name."""
SPARE = (
    Look("", "#332288", SOLID, "p"),
    Look("", "#882255", DASHED, "h"),
    Look("", "#44AA99", DASH_DOTTED, "d"),
    Look("", "#999933", SOLID, "*"),
    Look("", "#AA4499", DASHED, "8"),
    Look("", "#661100", DASH_DOTTED, "H"),
)


def way_looks(ways: Mapping[str, Way]) -> dict[str, Look]:
    """A look for each way, by the label that tables have (`Experiment.ways`), the pool and the frontier.

    The first group of a method without a mitigation looks as the method does: where one is drawn, the other
    is not.
    """
    spare = cycle(SPARE)
    methods: dict[str, Look] = {}
    found: dict[str, Look] = {}
    taken: dict[str, Way] = {}
    for label, way in ways.items():
        if way.method not in methods:
            methods[way.method] = KNOWN.get(way.method) or next(spare)
        plain = way.mitigation is None
        if way.group is None or (plain and taken.setdefault(way.method, way) == way):
            look = methods[way.method]
        else:
            look = next(spare)
        found[label] = replace(look, label=way_label(way))
    found[str(POOL)] = Look(way_label(POOL), GREY, SOLID, "<")
    found[FRONTIER] = Look("frontier (no training)", BLACK, DOTTED, "")
    return found


def way_label(way: Way) -> str:
    """What people call a way: its method, with the group of runs if it has one."""
    known = KNOWN.get(way.method)
    label = way.method.replace("_", " ") if known is None else known.label
    return label if way.group is None else f"{label} ({way.group.replace('_', ' ')})"
