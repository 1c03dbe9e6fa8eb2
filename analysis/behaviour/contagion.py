"""Contagion: train against an annotator with exactly one bias, and see what else changes.

Every cell is the change of one behaviour since π_ref under one biased annotator, minus its change under the
clean one, where both policies have spent the same KL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path, labels, paths
from analysis.behaviour.spectrum import simultaneous_margin
from analysis.equal_kl.comparison import KL_GRID, read_at, seed_mean
from analysis.estimators.bootstrap import percentile_interval
from analysis.study.columns import KL
from analysis.study.table import COUNT, SHARE, TEXT, YES, Column, Table

SERIES = "bias"
"""The dose series whose proxies each have one biased annotator; its dose 0 is the clean one."""


def contagion(
    found: Sequence[Path], label: Mapping[str, str], dose_of: Mapping[str, tuple[str, float]]
) -> pd.DataFrame:
    """`CONTAGION`, at the largest of `KL_GRID` that all paths of a way reach; rates read off in √KL."""
    series = {proxy: dose for proxy, (of, dose) in dose_of.items() if of == SERIES}
    frames = []
    for way in dict.fromkeys(path.way for path in found):
        mine = {path.proxy: path for path in found if path.way == way and path.proxy in series}
        clean = [proxy for proxy in mine if series[proxy] == 0]
        biased = [proxy for proxy in mine if series[proxy] != 0]
        if len(clean) == 1 and biased:
            frames.append(_matrix(mine, clean[0], biased, label).assign(name=str(way)))
    return CONTAGION.stack(frames)


def _matrix(
    mine: Mapping[str, Path], clean: str, biased: Sequence[str], label_of: Mapping[str, str]
) -> pd.DataFrame:
    sides = {proxy: path.side() for proxy, path in mine.items()}
    rows, spreads = [], []
    for measure, label in label_of.items():
        # A behaviour that some path never shows an instance of has no reach there, and no column here.
        reach = min(side.reaches(measure) for side in sides.values()) ** 2
        shared = [kl for kl in KL_GRID if kl <= reach]
        if not shared:
            continue
        at = np.sqrt(shared[-1:])
        read = {
            proxy: seed_mean(*read_at(side, measure, at), mine[proxy].drawn) for proxy, side in sides.items()
        }
        for proxy in biased:
            (value, spread), (base, base_spread) = read[proxy], read[clean]
            lo, hi = percentile_interval(spread - base_spread)
            rows.append({
                "proxy": proxy, "clean": clean, "kl": shared[-1], "behaviour": measure, "label": label,
                "runs": len(mine[proxy].runs), "runs_clean": len(mine[clean].runs), "change": value[0],
                "change_clean": base[0], "difference": value[0] - base[0], "lo": lo[0], "hi": hi[0],
            })  # fmt: skip
            spreads.append(spread[:, 0] - base_spread[:, 0])
    frame = pd.DataFrame(rows)
    if len(frame):
        # Centred on the replicates' own mean: they count two clusters more than the value does.
        drawn = np.stack(spreads, axis=1)
        margin = simultaneous_margin(drawn, drawn.mean(axis=0), two_sided=True)
        frame["beyond_chance"] = frame["difference"].abs() > margin
    return frame


CONTAGION = Table(
    "behaviour_contagion",
    "Behaviour under a biased annotator against a clean one at equal KL: one row per way, proxy, behaviour.",
    (
        Column("name", TEXT, "the way of optimising"),
        Column("proxy", TEXT, "the proxy of the biased annotator"),
        Column("clean", TEXT, "that of the clean one"),
        KL,
        Column("behaviour", TEXT, "the headline of a probe"),
        Column("label", TEXT, "what happens, in words"),
        Column("runs", COUNT, "path runs against the biased proxy"),
        Column("runs_clean", COUNT, "path runs against the clean one"),
        Column("change", SHARE, "of the rate since point 0"),
        Column("change_clean", SHARE, "the same under the clean annotator"),
        Column("difference", SHARE, "change minus change_clean"),
        Column("lo", SHARE, "lower bound of the difference by itself, 95 %, paired by prompt"),
        Column("hi", SHARE, "upper bound"),
        Column("beyond_chance", YES, "an interval wide enough for all cells together excludes 0"),
    ),
    lambda study: contagion(paths(study), labels(study), study.experiment.doses),
)
