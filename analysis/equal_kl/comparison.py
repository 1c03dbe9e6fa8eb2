"""Two ways of spending KL compared where both have spent the same: at fixed KL, never at equal β or step.

A *side* is whatever traces a curve over KL: the path runs of one group, method and proxy (all its seeds), or
the best-of-n pool of one proxy. Its score at KL k is interpolated, linearly in √KL (where the published laws
are smooth), between the points measured around k. Where both sides have kept their weights, policies
interpolated between their checkpoints have been measured at k (`analysis.equal_kl.interpolated`): then their
own scores count.

Paths wobble: KL can fall from one point to the next. A path is therefore read where it *first* reaches k:
only points at a KL higher than all before count, with a straight line between them. Nothing is extrapolated;
k ends where the first completed run of either side does.

Intervals are percentiles over replicates of the whole procedure. Where both sides answered the same prompts,
one draw of prompts serves both, so what is hard about a prompt cancels (`paired`); a pool has prompts of its
own. With several seeds the bootstrap is nested: proxy seeds are drawn first, jointly for two methods against
the same proxy, then policy seeds within each. KL is resampled with the scores: errors of the axis are in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.equal_kl.interpolated import CHECKPOINTS, agreement, traced
from analysis.equal_kl.traced import SCORES, Traced, root
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import draw_shares, percentile_interval
from analysis.pool.curves import PoolCurves, PoolGroup, pool_groups
from analysis.records.run_curves import RunCurves
from analysis.records.way import POOL, Way, grouped
from analysis.study.grid import MISSING, Grid, Heading, interval
from analysis.study.study import Study
from analysis.study.table import COUNT, NATS, TEXT, YES, Column, Row, Table

KL_GRID = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""KL at which sides are compared, in nats: each twice the last."""
BASELINE = "rloo"
"""What other methods are compared with, where it was run; otherwise the first method of the experiment."""

COMPARED = (
    Column("between", TEXT, "methods (a and b are ways, against one proxy) or proxies (the reverse)"),
    Column("proxy", TEXT, "what both were optimised against, or the two proxies"),
    Column("method", TEXT, "the way of both, or the two ways"),
    Column("a", TEXT, "one side"),
    Column("b", TEXT, "the other"),
    Column("kl", NATS, "the KL that both have spent"),
    Column("score", TEXT, "which score"),
    Column("value_a", "of the score", "of `a`"),
    Column("value_b", "of the score", "of `b`"),
    Column("difference", "of the score", "a minus b"),
    Column("lo", "of the score", "lower bound of the difference, 95 %"),
    Column("hi", "of the score", "upper bound, 95 %"),
    Column("interpolated", TEXT, "between scores of points, or between weights of checkpoints"),
    Column("runs_a", COUNT, "curves of `a`"),
    Column("runs_b", COUNT, "curves of `b`"),
    Column("proxy_seeds_a", COUNT, "proxy replicates of `a`"),
    Column("proxy_seeds_b", COUNT, "proxy replicates of `b`"),
    Column("paired", YES, "both answered the same prompts"),
)


@dataclass(frozen=True)
class Side:
    """What is compared: all seeds of one way of spending KL."""

    way: Way
    proxy: str
    proxy_pairs: int
    proxy_seeds: tuple[int, ...]
    """Of each curve."""
    curves: Sequence[Traced]
    prompts: str
    """Which prompts were answered: sides with the same are paired."""

    def reaches(self, score: str) -> float:
        """The largest √KL at which every curve has this score; 0 where one has none."""
        return min(each.reach(score) for each in self.curves)

    def has_between(self, score: str, kl: float) -> bool:
        """Whether every curve has a policy between its checkpoints that was measured at `kl` nats."""
        return all(each.has_between(score, kl) for each in self.curves)


def path_sides(curves: Sequence[RunCurves], paths: Mapping[str, Traced]) -> list[Side]:
    """The completed path runs by group, method and proxy; `paths` is by run_id, one draw of prompts for
    all."""
    usable = [e for e in curves if e.run.control == "path" and e.run.run_id in paths]
    ways = grouped((each.run.way, each.run.group) for each in usable)
    sides = []
    for way, group, proxy in dict.fromkeys((e.run.way, e.run.group, e.run.proxy) for e in usable):
        mine = [e for e in usable if (e.run.way, e.run.group, e.run.proxy) == (way, group, proxy)]
        seeds = tuple(each.run.proxy_seed for each in mine)
        drawn = [paths[each.run.run_id] for each in mine]
        sides.append(Side(ways[way, group], proxy, mine[0].run.proxy_pairs, seeds, drawn, "evaluation"))
    return sides


def pool_sides(groups: Sequence[PoolGroup[PoolCurves]], pairs: Mapping[str, int]) -> list[Side]:
    """Best-of-n against every proxy; replicates are already averaged and resampled."""
    sides = []
    for group in groups:
        scores = [name for name in SCORES if name in group.resampled]
        curve = Traced(
            root(group.mean("kl")),
            {name: group.mean(name) for name in scores},
            root(group.resampled["kl"]),
            {name: group.resampled[name] for name in scores},
        )
        seeds = tuple(each.proxy_seed for each in group.replicates)
        count = pairs.get(group.proxy, 0)
        sides.append(Side(POOL, group.proxy, count, seeds, [curve], "pool"))
    return sides


def read_at(side: Side, score: str, at: Floats) -> tuple[Floats, Floats]:
    """Score of every curve at √KL = `at`: (curves, places), and its replicates (replicates, curves,
    places)."""
    values, replicates = zip(*(curve.read(score, at) for curve in side.curves), strict=True)
    return np.stack(values), np.stack(replicates, axis=1)


def _read(side: Side, score: str, kl: Floats, between: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """As `read_at`, at `kl` (places,); where `between` (places,) is set, the score of a policy between
    checkpoints."""
    values, replicates = read_at(side, score, np.sqrt(kl))
    for number, curve in enumerate(side.curves):
        for place in np.flatnonzero(between):
            values[number, place], replicates[:, number, place] = curve.read_between(score, float(kl[place]))
    return values, replicates


def compare(
    a: Side, b: Side, rng: np.random.Generator, kl: Sequence[float] = KL_GRID, scores: Sequence[str] = SCORES
) -> pd.DataFrame:
    """`a` minus `b` at every KL of `kl` that both reach, one row of `COMPARISONS` per score and KL.

    A proxy score is compared under one proxy only: two proxies have two scales.
    """
    same = a.proxy == b.proxy
    paired = a.prompts == b.prompts
    replicates = min(len(side.curves[0].resampled_d) for side in (a, b))
    # The replicates of a pool have drawn their proxy seeds already: one curve stands for all.
    seeds = [side.proxy_seeds if len(side.curves) == len(side.proxy_seeds) else (0,) for side in (a, b)]
    joint = same and paired and set(seeds[0]) == set(seeds[1])
    shares = draw_shares(rng, seeds, replicates, joint=joint)
    rows = []
    for score in scores:
        if score == "proxy_score" and not same:
            continue
        reach = min(a.reaches(score), b.reaches(score))
        shown = np.array([each for each in kl if each <= reach**2])
        if not len(shown):
            continue
        between = np.array([all(side.has_between(score, each) for side in (a, b)) for each in shown])
        (value_a, spread_a), (value_b, spread_b) = (
            seed_mean(*_read(side, score, shown, between), share)
            for side, share in zip((a, b), shares, strict=True)
        )
        lo, hi = percentile_interval(spread_a - spread_b)
        block = pd.DataFrame({"kl": shown, "score": score, "value_a": value_a, "value_b": value_b,
                              "difference": value_a - value_b, "lo": lo, "hi": hi,
                              "interpolated": np.where(between, "checkpoints", "points")})  # fmt: skip
        rows.append(block)
    if not rows:
        return pd.DataFrame()
    frame = pd.concat(rows, ignore_index=True).assign(
        between="methods" if same else "proxies", proxy=a.proxy if same else f"{a.proxy}, {b.proxy}",
        method=str(a.way) if a.way == b.way else f"{a.way}, {b.way}",
        a=str(a.way) if same else a.proxy, b=str(b.way) if same else b.proxy,
        runs_a=len(a.proxy_seeds), runs_b=len(b.proxy_seeds), proxy_seeds_a=len(set(a.proxy_seeds)),
        proxy_seeds_b=len(set(b.proxy_seeds)), paired=paired,
    )  # fmt: skip
    return frame


def seed_mean(values: Floats, replicates: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Over the curves of a side, by `draw_shares`: (places,) and (replicates, places)."""
    return values.mean(axis=0), np.einsum("bc,bcp->bp", shares, replicates)


def default_pairs(sides: Sequence[Side]) -> list[tuple[Side, Side]]:
    """What a report compares: against every proxy, each side with the baseline's; and within each way of
    spending KL, each proxy with the one trained on most pairs. Linear in methods and proxies, so it stays
    readable."""
    paths = [side for side in sides if side.prompts != "pool"]
    # The method itself comes before groups of it: those are what it is to be compared with.
    own = sorted(paths, key=lambda side: (side.way.method != BASELINE, side.way != Way(BASELINE)))
    first = own[0] if own else None
    pairs = []
    for base in (side for side in paths if first is not None and side.way == first.way):
        pairs += [(side, base) for side in sides if side.proxy == base.proxy and side is not base]
    for way in dict.fromkeys(side.way for side in sides):
        mine = sorted((side for side in sides if side.way == way), key=lambda side: side.proxy_pairs)
        pairs += [(side, mine[-1]) for side in mine[:-1]]
    return pairs


def _grids(study: Study) -> list[Grid]:
    table, checkpoints = COMPARISONS.of(study), CHECKPOINTS.of(study)
    grids = []
    for score in ("gold", "oracle"):
        mine = table[table["score"] == score]
        if mine.empty:
            continue
        kls = sorted(mine["kl"].unique())
        columns = [
            Heading("against", "text"),
            Heading("difference", "text"),
            *(Heading(f"KL {kl:g}") for kl in kls),
        ]
        rows = []
        for (_, context, a, b), pair in mine.assign(
            context=mine["proxy"].where(mine["between"] == "methods", mine["method"])
        ).groupby(["between", "context", "a", "b"], sort=False):
            at = {row["kl"]: row for row in pair.to_dict("records")}
            cells = [_difference(at[kl]) if kl in at else MISSING for kl in kls]
            rows.append([str(context), f"{a} − {b}", *cells])
        caption = (
            f"Difference in {score} score (π_ref s.d.) where both have spent that KL, in nats per sequence, "
            "interpolated between measured points. Brackets: 95 % bootstrap intervals, paired by "
            "prompt unless "
            "one side is the best-of-n pool. A dash: one of the two never got there."
            + (f" An asterisk: {_MEASURED} {agreement(checkpoints, score)}" if len(checkpoints) else "")
        )
        grids.append(Grid(f"At equal KL: {score}", caption, columns, rows))
    return grids


_MEASURED = (
    "not between points, but measured on policies whose weights lie between those of two neighbouring points."
)


def _difference(row: Row) -> str:
    star = "*" if row["interpolated"] == "checkpoints" else ""
    return interval(row["difference"], row["lo"], row["hi"], sign=True) + star


COMPARISONS = Table(
    "comparisons",
    "Two ways of spending KL where both have spent the same: one row per compared pair, score and KL.",
    COMPARED,
    lambda study: comparisons(study.curves, pool_groups(study), study.proxy_pairs, traced(study),
                              study.stream("comparisons")),
    _grids,
)  # fmt: skip


def comparisons(
    curves: Sequence[RunCurves],
    groups: Sequence[PoolGroup[PoolCurves]],
    pairs: Mapping[str, int],
    paths: Mapping[str, Traced],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`COMPARISONS` of all `default_pairs`; `paths` is by run_id."""
    sides = [*path_sides(curves, paths), *pool_sides(groups, pairs)]
    return COMPARISONS.stack(compare(a, b, rng) for a, b in default_pairs(sides))
