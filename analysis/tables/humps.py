"""Which settings show a hump: a proxy's replicates together, by best-of-n, at budgets, and along paths.

A setting's places are in the order of KL. Of best-of-n they are its grid of n. Of RL they are π_ref and the
ends of the runs that were held at a budget or optimised under a penalty, where the policy had time to become
as good as it can at that KL; an unpenalised path is another row, for what it shows is haste as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.estimators.replicates import Hump, hump, stacked
from analysis.pool.curves import pool_groups
from analysis.records.run_curves import RunCurves
from analysis.records.way import POOL, grouped
from analysis.study.columns import run_columns
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, SD, TEXT, YES, Column, Sheet, Table

TRUTHS = ("gold", "oracle")
BEST_OF_N, ENDS, PATH = "best_of_n", "ends", "path"


def _row(proxy: str, method: str, way: str, score: str, replicates: int, found: Hump) -> dict[str, Any]:
    row: dict[str, Any] = {"proxy": proxy, "method": method, "way": way, "score": score}
    row |= {"replicates": replicates, "hump": found.shown}
    for name, each in (("rise", found.rise), ("fall", found.fall), ("peak_kl", found.peak)):
        row |= {name: each.value, f"{name}_lo": each.lo, f"{name}_hi": each.hi}
    return row


def _of_pool(study: Study) -> Iterator[dict[str, Any]]:
    for group in pool_groups(study):
        first = group.replicates[0]
        kl = np.stack([each.sums["kl"].mean() for each in group.replicates])
        for score in (name for name in TRUTHS if name in first.sums):
            sums = [each.sums[score] for each in group.replicates]
            curves, weight = stacked(sums, np.arange(len(first.sums[score].weight)))
            found = hump(curves, kl, study.stream(f"humps {group.proxy} {score}"), weight)
            yield _row(group.proxy, BEST_OF_N, str(POOL), score, len(group.replicates), found)


def _places(sums: ClusterSums, use: np.ndarray) -> ClusterSums:
    return ClusterSums(sums.total[use], sums.weight)


def _of_runs(study: Study) -> Iterator[dict[str, Any]]:
    whole = [e for e in study.curves if e.run.status == "complete" and e.measured("kl") and e.steps[0] == 0]
    ways = grouped((each.run.way, each.run.group) for each in whole if each.run.control == "path")
    settings: dict[tuple[str, str, str], list[RunCurves]] = {}
    for each in whole:
        kind = PATH if each.run.control == "path" else ENDS
        label = str(ways[each.run.way, each.run.group] if kind == PATH else each.run.way)
        settings.setdefault((each.run.proxy, label, kind), []).append(each)
    for (proxy, way, kind), runs in settings.items():
        by_replicate: dict[int, list[RunCurves]] = {}
        for each in runs:
            by_replicate.setdefault(each.run.proxy_seed, []).append(each)
        for score in (name for name in TRUTHS if all(e.measured(name) for e in runs)):
            read = _path if kind == PATH else _ends
            found = [read(own, score, study) for own in by_replicate.values()]
            places = min(len(kl) for kl, _, _ in found)
            if places < 3:
                continue
            curves = np.stack([curve[:, :places] for _, curve, _ in found])
            there = np.isfinite(curves).any(axis=1).all(axis=0)
            curves, kl = curves[:, :, there], np.stack([kl[:places] for kl, _, _ in found])[:, there]
            rng = study.stream(f"humps {proxy} {way} {kind} {score}")
            yield _row(proxy, kind, way, score, len(found), hump(curves, kl, rng, found[0][2]))


Curve = tuple[Floats, Floats, Floats]
"""KL (places,), values (facts, places), weight (facts,)."""


def _path(runs: Sequence[RunCurves], score: str, study: Study) -> Curve:
    """A replicate's path, its policy seeds averaged at their common crossings."""
    places = min(len(each.steps) for each in runs)
    sums = [_places(each.sums[score], np.arange(places)) for each in runs]
    curves, weight = stacked(sums, study.fact)
    kl = np.mean([each.sums["kl"].mean()[:places] for each in runs], axis=0)
    return kl, curves.mean(axis=0), weight


def _ends(runs: Sequence[RunCurves], score: str, study: Study) -> Curve:
    """π_ref, and a replicate's ends in the order of their budgets (of their KL, where a penalty set none)."""
    last = [(each.sums["kl"].mean()[-1], each) for each in runs]
    last.sort(key=lambda end: end[0] if end[1].run.budget is None else end[1].run.budget)
    start = _places(runs[0].sums[score], np.array([0]))
    sums = [start, *(_places(each.sums[score], np.array([-1])) for _, each in last)]
    curves, weight = stacked(sums, study.fact)
    return np.array([0.0, *(kl for kl, _ in last)]), curves[:, :, 0].T, weight


@once
def humps(study: Study) -> pd.DataFrame:
    """`HUMPS`."""
    return pd.DataFrame([*_of_pool(study), *_of_runs(study)])


HUMPS = Table(
    "humps",
    "Whether gold and oracle rise and then fall, proxy by proxy: replicates together, the peak chosen on one "
    "half of the facts and measured on the other.",
    (
        *run_columns("proxy"),
        Column("method", TEXT, "best_of_n, ends of runs with a budget or a penalty, or path"),
        Column("way", TEXT, "how the policies were optimised"),
        Column("score", TEXT, "gold or oracle"),
        Column("replicates", COUNT, "replicates of the proxy; of one, intervals are over facts alone"),
        Column("rise", SD, "from π_ref to the peak", interval=True),
        Column("fall", SD, "from the peak to the last place, downwards", interval=True),
        Column("peak_kl", NATS, "KL of the highest place of the mean curve", interval=True),
        Column("hump", YES, "rise and fall exclude 0, and the highest place is neither first nor last"),
    ),
    humps,
    Sheet(
        "Does the score rise and then fall?",
        "Replicates of each proxy together; 95 % t intervals over replicates and facts (with one replicate, "
        "over facts alone). The peak is chosen on one half of the facts and measured on the other.",
        ("proxy", "method", "score", "replicates", "rise", "fall", "peak_kl", "hump"),
    ),
)
