"""How each way of spending KL looks when several share a panel: colour, line and marker all tell it apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.figures.drawing.style import Look

FRONTIER = "frontier"
LOOKS: Mapping[str, Look] = {
    "rloo": Look("RLOO", "#0072B2", "-", "o"),
    "grpo": Look("GRPO", "#E69F00", (0, (4, 1.5)), "s"),
    "ppo": Look("PPO", "#009E73", (0, (5, 1, 1, 1)), "^"),
    "dpo": Look("DPO", "#D55E00", "-", "D"),
    "kto": Look("KTO", "#CC79A7", (0, (4, 1.5)), "v"),
    "online_dpo": Look("online DPO", "#56B4E9", (0, (5, 1, 1, 1)), "P"),
    "best_of_n_distilled": Look("best of n, distilled", "#000000", (0, (6, 1.5)), "X"),
    "best_of_n": Look("best of n", "#7A7A7A", "-", "<"),
    FRONTIER: Look("frontier (no training)", "#000000", (0, (1, 1)), ""),
}
SPARE = (
    Look("", "#332288", "-", "p"),
    Look("", "#882255", (0, (4, 1.5)), "h"),
    Look("", "#44AA99", (0, (5, 1, 1, 1)), "d"),
    Look("", "#999933", "-", ">"),
)


def method_label(name: str) -> str:
    """What people call a method, with its group if the name has one."""
    method, _, group = name.partition(" (")
    label = LOOKS[method].label if method in LOOKS else method.replace("_", " ").upper()
    return f"{label} ({group.replace('_', ' ')}" if group else label


def method_looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name (`comparison.side_names`), the same for a method in every figure; what is not
    known, and further groups of one method, take spare ones in order."""
    found: dict[str, Look] = {}
    spare = 0
    for name in names:
        method = name.partition(" (")[0]
        known = LOOKS.get(method)
        if known is not None and method not in {other.partition(" (")[0] for other in found}:
            look = known
        else:
            look, spare = SPARE[spare % len(SPARE)], spare + 1
        found[name] = replace(look, label=method_label(name))
    return found
