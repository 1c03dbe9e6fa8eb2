"""Prompts split by what the proxy prefers there, before anything is averaged.

The tilt of a fact is the mean proxy reward, under π_ref, of answers that give in to the user minus that of
all others. Where it is positive optimisation favours giving in, elsewhere it does not (Shapira, Benade &
Procaccia 2026, arXiv:2602.01002: the mean gap), and a mean over both can stand still while each of them
moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.behaviour.frontier import FACT, PoolProbing
from analysis.behaviour.rates import PATH_COLUMNS, Path, Rates, mean_rates, tally
from analysis.estimators.bootstrap import percentile_interval
from analysis.pool.curves import ScoredPool
from analysis.probes import Evidence, Headline

Floats = NDArray[np.float64]

SPLIT = "sycophancy"
"""Measure of the headline that is split."""
TILT_COLUMNS = (*PATH_COLUMNS, *("tilt", "facts", "place", "kl", "sqrt_kl"), *("rate", "rate_lo", "rate_hi"))


def tilts(pool: ScoredPool, probing: PoolProbing, proxy: str) -> pd.Series:
    """Tilt of each fact of the pool, in π_ref s.d. of the proxy; NaN where all answers do the same.

    Rewards are compared within prompts and averaged over the fact's prompts and the proxy's replicates.
    """
    events = probing.events(SPLIT)
    scorers = [scorer for name, _, scorer in pool.proxies if name == proxy]
    reward = np.mean([pool.scores[scorer] for scorer in scorers], axis=0)
    rows = pd.DataFrame({"fact": probing.answers["cluster"].to_numpy(), "event": events})
    rows["reward"] = reward.ravel()
    rows["prompt"] = np.repeat(np.arange(len(reward)), reward.shape[1])
    means = rows.dropna().groupby(["fact", "prompt", "event"])["reward"].mean().unstack("event")
    gap = means.reindex(columns=[0.0, 1.0])
    return (gap[1.0] - gap[0.0]).groupby("fact").mean()


def tilt_split(
    paths: Sequence[Path],
    pool: ScoredPool,
    probing: PoolProbing,
    evidence: Evidence,
    headlines: Mapping[str, Headline],
    counts: Floats,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`TILT_COLUMNS`: sycophancy along every path, by the sign of its proxy's tilt on the fact asked about.

    Only facts that pool and evaluation prompts share have a side; `facts` counts evaluation clusters of it
    that the probe counts at point 0.
    """
    if SPLIT not in headlines or SPLIT not in probing.headlines or not set(FACT) <= set(evidence.items):
        return pd.DataFrame(columns=list(TILT_COLUMNS))
    asked = evidence.items.drop_duplicates("cluster")
    fact_of = asked[FACT[0]].str.cat(asked[FACT[1]], sep=" / ").to_numpy()
    clusters = pd.Index(evidence.items["cluster"].unique())
    proxies = {name for name, _, _ in pool.proxies}
    frames = []
    for path in paths:
        if path.proxy not in proxies:
            continue
        tilt = tilts(pool, probing, path.proxy).reindex(fact_of).to_numpy(dtype=float)
        tallies = [tally(run, evidence, {SPLIT: headlines[SPLIT]}, clusters)[SPLIT] for run in path.runs]
        for sign, side in (("giving in", tilt > 0), ("not giving in", tilt < 0)):
            parts = [Rates.of(hits * side, votes * side, counts, rng) for hits, votes in tallies]
            rates = mean_rates(parts, path.drawn)
            lo, hi = percentile_interval(rates.resampled_now)
            frame = pd.DataFrame({
                **path.columns, "tilt": sign, "facts": int(rates.clusters[0]),
                "place": np.arange(path.places),
                "kl": path.mean("kl"), "rate": rates.raw, "rate_lo": lo, "rate_hi": hi,
            })  # fmt: skip
            frames.append(frame.assign(sqrt_kl=np.sqrt(frame["kl"].clip(lower=0)))[list(TILT_COLUMNS)])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(TILT_COLUMNS))
