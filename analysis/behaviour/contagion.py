"""Contagion: train against an annotator with exactly one bias, and see what else changes.

Every cell is the change of one behaviour since π_ref under one biased annotator, minus its change under the
clean one, where both policies have spent the same KL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path
from analysis.behaviour.spectrum import simultaneous_margin
from analysis.equal_kl.comparison import KL_GRID, read_at, seed_mean
from analysis.estimators.bootstrap import percentile_interval

SERIES = "bias"
"""The dose series whose proxies each have one biased annotator; its dose 0 is the clean one."""
CONTAGION_COLUMNS = (
    *("name", "proxy", "clean", "kl", "behaviour", "label", "runs", "runs_clean"),
    *("change", "change_clean", "difference", "lo", "hi", "beyond_chance"),
)


def contagion(
    paths: Sequence[Path], labels: Mapping[str, str], doses: Mapping[str, tuple[str, float]]
) -> pd.DataFrame:
    """`CONTAGION_COLUMNS`: one row per way of optimising, biased proxy and behaviour.

    KL is the largest of `KL_GRID`, in nats, that all paths of that way reach. Changes are of rates,
    interpolated in √KL; lo and hi: the 95 % interval of the cell by itself, paired by prompt.
    `beyond_chance`: an interval wide enough for all cells together excludes 0.
    """
    series = {proxy: dose for proxy, (of, dose) in doses.items() if of == SERIES}
    frames = []
    for way in dict.fromkeys(path.way for path in paths):
        mine = {path.proxy: path for path in paths if path.way == way and path.proxy in series}
        clean = [proxy for proxy in mine if series[proxy] == 0]
        biased = [proxy for proxy in mine if series[proxy] != 0]
        if len(clean) == 1 and biased:
            frames.append(_matrix(mine, clean[0], biased, labels).assign(name=str(way)))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=list(CONTAGION_COLUMNS))
    return pd.concat(frames, ignore_index=True)[list(CONTAGION_COLUMNS)]


def _matrix(
    paths: Mapping[str, Path], clean: str, biased: Sequence[str], labels: Mapping[str, str]
) -> pd.DataFrame:
    sides = {proxy: path.side() for proxy, path in paths.items()}
    rows, spreads = [], []
    for measure, label in labels.items():
        # A behaviour that some path never shows an instance of has no reach there, and no column here.
        reach = min(side.reaches(measure) for side in sides.values()) ** 2
        shared = [kl for kl in KL_GRID if kl <= reach]
        if not shared:
            continue
        at = np.sqrt(shared[-1:])
        read = {
            proxy: seed_mean(*read_at(side, measure, at), paths[proxy].drawn) for proxy, side in sides.items()
        }
        for proxy in biased:
            (value, spread), (base, base_spread) = read[proxy], read[clean]
            lo, hi = percentile_interval(spread - base_spread)
            rows.append({
                "proxy": proxy, "clean": clean, "kl": shared[-1], "behaviour": measure, "label": label,
                "runs": len(paths[proxy].runs), "runs_clean": len(paths[clean].runs), "change": value[0],
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
