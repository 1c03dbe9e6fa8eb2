"""Prompts split by what the proxy prefers there, before anything is averaged.

The tilt of a fact is the mean proxy reward, under π_ref, of answers that give in to the user minus that of
all others. Where it is positive optimisation favours giving in, elsewhere it does not (Shapira, Benade &
Procaccia 2026, arXiv:2602.01002: the mean gap), and a mean over both can stand still while each of them
moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.behaviour.frontier import FACT, PoolProbing, pool_probes
from analysis.behaviour.rates import Path, Rates, mean_rates, paths, tally
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import percentile_interval
from analysis.pool.curves import ScoredPool, scored_pool
from analysis.probes import Evidence, Headline
from analysis.probes.evidence import evidence, headline_behaviour
from analysis.study.columns import KL, PATH, SQRT_KL
from analysis.study.table import COUNT, SHARE, TEXT, Column, Sheet, Table


def tilts(pool: ScoredPool, probing: PoolProbing, proxy: str, behaviour: str) -> pd.Series:
    """Tilt of each fact of the pool, in π_ref s.d. of the proxy; NaN where all answers do the same.

    Rewards are compared within prompts and averaged over the fact's prompts and the proxy's replicates.
    """
    events = probing.events(behaviour)
    scorers = [scorer for name, _, scorer in pool.proxies if name == proxy]
    reward = np.mean([pool.scores[scorer] for scorer in scorers], axis=0)
    rows = pd.DataFrame({"fact": probing.answers["cluster"].to_numpy(), "event": events})
    rows["reward"] = reward.ravel()
    rows["prompt"] = np.repeat(np.arange(len(reward)), reward.shape[1])
    means = rows.dropna().groupby(["fact", "prompt", "event"])["reward"].mean().unstack("event")
    gap = means.reindex(columns=[0.0, 1.0])
    return (gap[1.0] - gap[0.0]).groupby("fact").mean()


def tilt_split(
    found: Sequence[Path],
    pool: ScoredPool | None,
    probing: PoolProbing | None,
    known: Evidence,
    headline: Headline | None,
    counts: Floats,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`TILTS`: the headline behaviour along every path, by the sign of its proxy's tilt on the fact."""
    if headline is None or pool is None or probing is None:
        return TILTS.empty()
    if headline.measure not in probing.headlines or not set(FACT) <= set(known.items):
        return TILTS.empty()
    asked = known.items.drop_duplicates("cluster")
    fact_of = asked[FACT[0]].str.cat(asked[FACT[1]], sep=" / ").to_numpy()
    clusters = pd.Index(known.items["cluster"].unique())
    proxies = {name for name, _, _ in pool.proxies}
    frames = []
    for path in found:
        if path.proxy not in proxies:
            continue
        tilt = tilts(pool, probing, path.proxy, headline.measure).reindex(fact_of).to_numpy(dtype=float)
        one = {headline.measure: headline}
        tallies = [tally(run, known, one, clusters)[headline.measure] for run in path.runs]
        for sign, side in (("giving in", tilt > 0), ("not giving in", tilt < 0)):
            parts = [Rates.of(hits * side, votes * side, counts, rng) for hits, votes in tallies]
            rates = mean_rates(parts, path.drawn)
            lo, hi = percentile_interval(rates.resampled_now)
            frame = pd.DataFrame({
                **path.columns, "tilt": sign, "facts": int(rates.clusters[0]),
                "place": np.arange(path.places),
                "kl": path.mean("kl"), "rate": rates.raw, "rate_lo": lo, "rate_hi": hi,
            })  # fmt: skip
            frames.append(frame.assign(sqrt_kl=np.sqrt(frame["kl"].clip(lower=0))))
    return TILTS.stack(frames)


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    """First and last place of each side of every path."""
    key = ["method", "group", "proxy", "tilt"]
    sides = table.groupby(key, sort=False, dropna=False)
    first, last = sides.head(1).set_index(key), sides.tail(1).set_index(key)
    shown = last.reindex(first.index)
    starts = {f"start{end}": first[f"rate{end}"] for end in ("", "_lo", "_hi")}
    return shown.assign(facts=first["facts"], **starts).reset_index()


TILTS = Table(
    "behaviour_tilts",
    "The headline behaviour along every path, by the sign of the proxy's tilt on the fact asked about.",
    (
        *PATH,
        Column("tilt", TEXT, "what the proxy prefers on those facts", title="proxy prefers"),
        Column("facts", COUNT, "evaluation clusters of that side that the probe counts at point 0"),
        Column("place", COUNT, "which point of the path, from 0"),
        *(replace(KL, title="at KL"), SQRT_KL),
        Column("rate", SHARE, "how often the behaviour occurs there", interval=True, title="last point"),
    ),
    lambda study: tilt_split(
        paths(study), scored_pool(study), pool_probes(study), evidence(study), headline_behaviour(study),
        study.counts, study.stream("tilts"),
    ),
    Sheet(
        "The headline behaviour by what the proxy prefers",
        "Facts split by the sign of the proxy's tilt: its mean reward, over samples of the reference "
        "policy, of answers that give in minus that of all others on the same prompt. Only facts that the "
        "pool asks about under the same condition are counted. Share of prompts on which the policy gives "
        "in, at the start and at the end.",
        ("method", "proxy", "tilt", "facts", Column("start", SHARE, "", interval=True, title="π_ref"),
         "rate", "kl"),
        _ends,
    ),
)  # fmt: skip
