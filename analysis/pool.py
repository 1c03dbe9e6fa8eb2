"""The best-of-n curves of an experiment: its pool of π_ref samples, ranked by each proxy replicate.

Standardisation: gold, oracle and proxy minus their mean over the pool, in units of their own s.d. over it.
Replicates of one proxy are averaged; resampling draws proxy replicates, then clusters of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import best_of_n
from analysis.bootstrap import ClusterSums, draw_runs, percentile_interval
from analysis.points import SampleKeys, read_scores
from analysis.records import Experiment, RecordError

Floats = NDArray[np.float64]

CURVES = ("kl", "proxy_score", "gold", "oracle")
POOL_COLUMNS = (
    *("proxy", "proxy_pairs", "seeds", "n", "reliable", "kl_bound", "sqrt_kl"),
    *(f"{name}{end}" for name in CURVES for end in ("", "_lo", "_hi")),
)


@dataclass(frozen=True)
class PoolCurves:
    """Curves over n of one proxy replicate."""

    proxy: str
    proxy_seed: int
    n: NDArray[np.intp]
    samples: int
    """N, samples per prompt."""
    sums: Mapping[str, ClusterSums]
    """Cluster sums of the curves of `CURVES` that exist: totals of (len(n), clusters)."""


def read_pool(experiment: Experiment) -> list[PoolCurves]:
    """One entry per proxy replicate that scored the pool; empty where there is no pool or it was never
    scored."""
    point = experiment.pool_point
    if experiment.pool is None or point is None or not (point.sampled and point.scored):
        return []
    items = experiment.pool_items
    samples = point.samples(("item_id", "sample_id"))
    keys = SampleKeys(items, samples, point.path / "samples.parquet")
    size = int(keys.count[0])
    if (keys.count != size).any():
        raise RecordError(
            f"{keys.where}: {keys.count.min()} to {keys.count.max()} samples per prompt; all must be equal"
        )
    # Tables are read sorted by item and sample, so rows fold into (prompts, N).
    scores = {name: _standardise(value).reshape(-1, size) for name, value in read_scores(point, keys).items()}
    weight = items["weight"].to_numpy(dtype=float)
    cluster = pd.factorize(items["cluster"])[0]
    n = best_of_n.grid(size)
    curves = []
    named = [(proxy, scorer) for proxy in experiment.pool["proxies"] for scorer in scores]
    for proxy, scorer in named:
        group, _, proxy_seed = scorer.rpartition("/")
        if group != f"proxy/{proxy}":
            continue
        ranked = best_of_n.Pool.rank(scores[scorer])
        values = {"kl": ranked.kl(n), "proxy_score": ranked.expected(scores[scorer], n)}
        values |= {
            truth: ranked.expected(scores[truth], n) for truth in ("gold", "oracle") if truth in scores
        }
        sums = {name: ClusterSums.of(value.T, weight, cluster) for name, value in values.items()}
        curves.append(PoolCurves(proxy, int(proxy_seed), n, size, sums))
    return curves


def _standardise(values: Floats) -> Floats:
    sd = values.std()
    return (values - values.mean()) / (sd if sd > 0 else np.nan)


@dataclass(frozen=True)
class PoolGroup:
    """The replicates of one proxy together."""

    replicates: Sequence[PoolCurves]
    resampled: Mapping[str, Floats]
    """Curves of `CURVES` that exist, resampled: (replicates, len(n))."""

    @classmethod
    def of(cls, replicates: Sequence[PoolCurves], counts: Floats, rng: np.random.Generator) -> PoolGroup:
        """`counts` (replicates, clusters) are the cluster draws, shared by all groups."""
        drawn = draw_runs(rng, [each.proxy_seed for each in replicates], len(counts))
        share = drawn / drawn.sum(axis=1, keepdims=True)
        resampled = {}
        for name in replicates[0].sums:
            stacked = np.stack([each.sums[name].replicate(counts) for each in replicates])
            resampled[name] = np.einsum("bs,sbn->bn", share, stacked)
        return cls(replicates, resampled)

    @property
    def proxy(self) -> str:
        return self.replicates[0].proxy

    def mean(self, name: str) -> Floats:
        return np.mean([each.sums[name].mean() for each in self.replicates], axis=0)

    def table(self, pairs: int | None) -> pd.DataFrame:
        """`POOL_COLUMNS`, one row per n; `seeds` counts the replicates, `reliable` is n <= N/4.

        A curve that was not scored is NaN.
        """
        first = self.replicates[0]
        frame = pd.DataFrame({"n": first.n, "reliable": first.n * best_of_n.RELIABLE_RATIO <= first.samples})
        frame.insert(0, "proxy", self.proxy)
        frame.insert(1, "proxy_pairs", pairs)
        frame.insert(2, "seeds", len(self.replicates))
        frame["kl_bound"] = best_of_n.kl_bound(first.n)
        for name in CURVES:
            missing = np.full(len(first.n), np.nan)
            present = name in self.resampled
            frame[name] = self.mean(name) if present else missing
            lo, hi = percentile_interval(self.resampled[name]) if present else (missing, missing)
            frame[f"{name}_lo"], frame[f"{name}_hi"] = lo, hi
        frame["sqrt_kl"] = np.sqrt(frame["kl"].clip(lower=0))
        return frame[list(POOL_COLUMNS)]
