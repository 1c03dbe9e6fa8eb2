"""The pool of π_ref samples: its scores, and the best-of-n curves of each proxy replicate that ranked it.

Gold, oracle and proxy are standardised over the pool (`analysis.records.scale`). Replicates of one proxy are
averaged; intervals are over replicates and facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums, draw_clusters, draw_shares
from analysis.estimators.replicates import over_replicates, stacked
from analysis.pool import best_of_n
from analysis.records.experiment import Experiment, RecordError
from analysis.records.run_curves import WIN_RATE, SampleKeys, read_scores
from analysis.records.scale import standardise
from analysis.study.columns import SQRT_KL, run_columns
from analysis.study.study import Study, fact_column, once
from analysis.study.table import COUNT, NATS, SD, SHARE, Column, Table, intervals

CURVES = ("kl", "proxy_score", "gold", "oracle")
POOL_CURVES = (*CURVES, WIN_RATE)


@dataclass(frozen=True)
class ScoredPool:
    """The pool's scores, standardised over the pool: what every curve is computed from."""

    scores: Mapping[str, Floats]
    """Scorer to values of shape (prompts, N): gold, oracle where there is one, proxy/<name>/<replicate>."""
    weight: Floats
    cluster: NDArray[np.intp]
    """The fact that each prompt asks about."""
    proxies: Sequence[tuple[str, int, str]]
    """(proxy, proxy_seed, scorer) of every proxy replicate that scored the pool."""

    def sums(self, values: Mapping[str, Floats]) -> dict[str, ClusterSums]:
        """Cluster sums of curves of shape (prompts, places): totals of (places, clusters)."""
        return {name: ClusterSums.of(value.T, self.weight, self.cluster) for name, value in values.items()}


@dataclass(frozen=True)
class Replicate:
    """Curves of one proxy replicate, over whatever the pool is reweighted by."""

    proxy: str
    proxy_seed: int
    sums: Mapping[str, ClusterSums]
    """Cluster sums of the curves that exist: totals of (places, clusters)."""


@dataclass(frozen=True)
class PoolCurves(Replicate):
    """The curves of `POOL_CURVES` over n; the win rate is gold's, against a fresh sample of π_ref."""

    n: NDArray[np.intp]
    samples: int
    """N, samples per prompt."""


def read_pool(experiment: Experiment) -> ScoredPool | None:
    """None where there is no pool or it was never scored."""
    point = experiment.pool_point
    if experiment.pool is None or point is None or not (point.sampled and point.scored):
        return None
    items = experiment.pool_items
    samples = point.samples(("item_id", "sample_id"))
    keys = SampleKeys(items, samples, point.path / "samples.parquet")
    size = int(keys.count[0])
    if (keys.count != size).any():
        raise RecordError(
            f"{keys.where}: {keys.count.min()} to {keys.count.max()} samples per prompt; all must be equal"
        )
    # Tables are read sorted by item and sample, so rows fold into (prompts, N).
    scores = {name: standardise(value).reshape(-1, size) for name, value in read_scores(point, keys).items()}
    weight = items["weight"].to_numpy(dtype=float)
    cluster = pd.factorize(items[fact_column(items)])[0]
    proxies = []
    for proxy in experiment.pool["proxies"]:
        for scorer in scores:
            group, _, proxy_seed = scorer.rpartition("/")
            if group == f"proxy/{proxy}":
                proxies.append((proxy, int(proxy_seed), scorer))
    return ScoredPool(scores, weight, cluster, proxies)


def best_of_n_curves(pool: ScoredPool) -> list[PoolCurves]:
    """Best-of-n for every n of the grid, one entry per proxy replicate."""
    curves = []
    for proxy, proxy_seed, scorer in pool.proxies:
        size = pool.scores[scorer].shape[1]
        n = best_of_n.grid(size)
        ranked = best_of_n.Pool.rank(pool.scores[scorer])
        values = {"kl": ranked.kl(n), "proxy_score": ranked.expected(pool.scores[scorer], n)}
        truths = [name for name in ("gold", "oracle") if name in pool.scores]
        values |= {truth: ranked.expected(pool.scores[truth], n) for truth in truths}
        if "gold" in pool.scores:
            values[WIN_RATE] = ranked.win_rate(pool.scores["gold"], n)
        curves.append(PoolCurves(proxy, proxy_seed, pool.sums(values), n, size))
    return curves


R = TypeVar("R", bound=Replicate)


@dataclass(frozen=True)
class PoolGroup(Generic[R]):
    """The replicates of one proxy together."""

    replicates: Sequence[R]
    resampled: Mapping[str, Floats]
    """The replicates' curves, resampled: (draws, places)."""
    counts: Floats
    """The cluster draws behind them: (draws, clusters)."""

    @classmethod
    def of(cls, replicates: Sequence[R], counts: Floats, rng: np.random.Generator) -> PoolGroup[R]:
        """`counts` (draws, clusters) are the cluster draws, shared by all groups."""
        (shares,) = draw_shares(rng, [[each.proxy_seed for each in replicates]], len(counts))
        resampled = {}
        for name in replicates[0].sums:
            every = np.stack([each.sums[name].replicate(counts) for each in replicates])
            resampled[name] = np.einsum("bs,sbn->bn", shares, every)
        return cls(replicates, resampled, counts)

    @property
    def proxy(self) -> str:
        return self.replicates[0].proxy

    def mean(self, name: str) -> Floats:
        return np.mean([each.sums[name].mean() for each in self.replicates], axis=0)

    def columns(self, names: Sequence[str], places: int) -> dict[str, Floats]:
        """The mean of each curve with _lo and _hi; NaN for a curve that was not scored.

        Where the first place is π_ref itself, scores are gains over it on the same prompts: the interval is 0
        there, and does not hold the prompts' own spread elsewhere.
        """
        columns: dict[str, Floats] = {}
        from_reference = bool(self.mean("kl")[0] == 0)
        for name in names:
            if name not in self.resampled:
                columns |= {f"{name}{end}": np.full(places, np.nan) for end in ("", "_lo", "_hi")}
                continue
            sums = [each.sums[name] for each in self.replicates]
            curves, weight = stacked(sums, np.arange(len(sums[0].weight)))
            if from_reference and name != "kl":
                curves = curves - curves[:, :, :1] + self.mean(name)[0]
            found = [over_replicates(curves[:, :, place], weight) for place in range(places)]
            columns |= {
                name: np.array([each.value for each in found]),
                f"{name}_lo": np.array([each.lo for each in found]),
                f"{name}_hi": np.array([each.hi for each in found]),
            }
        return columns


def grouped_by_proxy(pool: Sequence[R], rng: np.random.Generator) -> list[PoolGroup[R]]:
    """The replicates of every proxy together, one draw of prompts for all."""
    if not pool:
        return []
    counts = draw_clusters(rng, len(pool[0].sums["kl"].weight))
    names = dict.fromkeys(each.proxy for each in pool)
    return [PoolGroup.of([each for each in pool if each.proxy == name], counts, rng) for name in names]


@once
def scored_pool(study: Study) -> ScoredPool | None:
    return read_pool(study.experiment)


@once
def replicates(study: Study) -> list[PoolCurves]:
    """The best-of-n curves of every proxy replicate; none without a pool."""
    pool = scored_pool(study)
    return [] if pool is None else best_of_n_curves(pool)


@once
def pool_groups(study: Study) -> list[PoolGroup[PoolCurves]]:
    return grouped_by_proxy(replicates(study), study.stream("pool"))


def best_of_n_table(curves: PoolGroup[PoolCurves], pairs: int | None) -> pd.DataFrame:
    """One row per n of `BEST_OF_N`."""
    first = curves.replicates[0]
    frame = pd.DataFrame({"n": first.n}).assign(
        proxy=curves.proxy, proxy_pairs=pairs, seeds=len(curves.replicates)
    )
    frame["kl_bound"] = best_of_n.kl_bound(first.n)
    frame = frame.assign(**curves.columns(POOL_CURVES, len(first.n)))
    return frame.assign(sqrt_kl=np.sqrt(frame["kl"].clip(lower=0)))


def _seed_table(each: PoolCurves) -> pd.DataFrame:
    frame = pd.DataFrame({"proxy": each.proxy, "proxy_seed": each.proxy_seed, "n": each.n})
    for name in POOL_CURVES:
        frame[name] = each.sums[name].mean() if name in each.sums else np.nan
    return frame.assign(sqrt_kl=np.sqrt(frame["kl"].clip(lower=0)))


N = Column("n", COUNT, "samples of which the proxy's favourite is kept")
SCORES = (
    Column("kl", NATS, "plug-in KL of best of n, ties counted, per sequence", interval=True),
    *intervals("proxy_score", "gold", "oracle", unit=SD, words="{} of the sample that is kept"),
    Column("win_rate", SHARE, "how often gold prefers it to a fresh sample of π_ref", interval=True),
)
BEST_OF_N = Table(
    "best_of_n",
    "Best of n against every proxy, from the pool alone: one row per proxy and n, replicates averaged.",
    (
        *run_columns("proxy", "proxy_pairs"),
        Column("seeds", COUNT, "replicates of the proxy"),
        N,
        Column("kl_bound", NATS, "log n − (n − 1)/n"),
        SQRT_KL,
        *SCORES,
    ),
    lambda study: (
        best_of_n_table(group, study.proxy_pairs.get(group.proxy)) for group in pool_groups(study)
    ),
)
BEST_OF_N_SEEDS = Table(
    "best_of_n_seeds",
    "The same, one row per proxy replicate and n.",
    (*run_columns("proxy", "proxy_seed"), N, SQRT_KL, *(replace(each, interval=False) for each in SCORES)),
    lambda study: (_seed_table(each) for each in replicates(study)),
)
