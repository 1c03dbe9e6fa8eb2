"""What samples of π_ref say about behaviours to come, and what training then did.

For the policy that is optimal at coefficient β, π_β ∝ π_ref·exp(r/β), the rate of any behaviour g follows
from base samples alone: E_β[g] = E_ref[g·e^{r/β}] / E_ref[e^{r/β}] prompt by prompt, and E_β[g] − E_ref[g] is
the covariance of g and e^{r/β} under π_ref over E_ref[e^{r/β}] (Shapira, Benade & Procaccia 2026,
arXiv:2602.01002, Theorem 1). To first order in 1/β that is Cov_ref(r, g)/β, so the sign of the covariance
says which way a behaviour goes under gentle optimisation.

Predicted and measured changes are read at equal KL, interpolated in √KL. The pool's prompts are a natural
draw, those of the paths matched conditions: two samples of prompts, so their errors are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.behaviour.frontier import PoolProbing, pool_probes, reliable
from analysis.behaviour.rates import Path, cluster_votes, labels, paths
from analysis.equal_kl.comparison import KL_GRID, read_at, seed_mean
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums, draw_clusters, percentile_interval
from analysis.pool.curves import ScoredPool, scored_pool
from analysis.pool.frontier import BETAS
from analysis.study.columns import KL, PATH
from analysis.study.grid import MISSING
from analysis.study.study import Study, once
from analysis.study.table import COUNT, NATS, SHARE, TEXT, YES, Column, Row, Sheet, Table

QUANTITIES = ("covariance", "predicted", "measured", "residual")


class Foreseen(NamedTuple):
    """One behaviour under one proxy from base samples, replicates of the proxy averaged."""

    d: Sequence[Floats]
    """√KL of each proxy replicate's frontier, from 0 on."""
    hits: Sequence[Floats]
    """Rates by fact there: (places, facts) each."""
    votes: Floats
    """Whether a fact is counted: (facts,)."""
    slope: Floats
    """d rate / d(1/β) at π_ref by fact, the covariance with the reward in its s.d.: (facts,)."""

    @property
    def reach(self) -> float:
        """Largest √KL that every replicate's frontier can show."""
        return min(float(d.max()) for d in self.d)

    def change(self, at: Floats) -> ClusterSums:
        """Change of the rate at √KL = `at`, by fact: totals of (places, facts)."""
        changes = []
        for d, hits in zip(self.d, self.hits, strict=True):
            after = np.clip(np.searchsorted(d, at), 1, len(d) - 1)
            share = np.clip((at - d[after - 1]) / np.maximum(d[after] - d[after - 1], 1e-12), 0, 1)[:, None]
            changes.append((1 - share) * hits[after - 1] + share * hits[after] - hits[0])
        return ClusterSums(np.mean(changes, axis=0) * self.votes, self.votes)

    @property
    def covariance(self) -> ClusterSums:
        return ClusterSums((self.slope * self.votes)[None], self.votes)


def foresee(pool: ScoredPool, probing: PoolProbing, proxy: str) -> dict[str, Foreseen]:
    """Every headline that the pool can carry under `proxy`, by measure; those never counted are left out."""
    if not probing.headlines:
        return {}
    answers = probing.answers
    facts = pd.Index(answers["cluster"].unique())
    frontiers = []
    for name, _, scorer in pool.proxies:
        if name == proxy:
            tilts = [tilted for _, tilted in reliable(pool.scores[scorer], BETAS[::2])]
            kl = [float(ClusterSums.of(each.kl(), pool.weight, pool.cluster).mean()) for each in tilts]
            d = np.maximum.accumulate(np.sqrt(np.maximum(kl, 0)))
            frontiers.append((d, [each.weights.ravel() for each in tilts], pool.scores[scorer]))
    found = {}
    for measure in probing.headlines:
        events = probing.events(measure)
        rows = np.flatnonzero(np.isfinite(events))
        if len(rows) == 0 or not frontiers or min(len(d) for d, _, _ in frontiers) < 2:
            continue
        part, value = answers.iloc[rows][["cluster"]], events[rows]
        votes = cluster_votes(value, part, facts)[1]
        hits = [
            np.stack([cluster_votes(value, part, facts, weight[rows])[0] for weight in weights])
            for _, weights, _ in frontiers
        ]
        slopes = [_covariance(events, score, part, rows, facts) for _, _, score in frontiers]
        found[measure] = Foreseen([d for d, _, _ in frontiers], hits, votes, np.mean(slopes, axis=0))
    return found


def _covariance(
    events: Floats, score: Floats, part: pd.DataFrame, rows: NDArray[np.intp], facts: pd.Index
) -> Floats:
    """Within-prompt covariance of the reward with the events that count, by fact: (facts,).

    For a ratio Σ_x E_β[g·m] / Σ_x E_β[m], with m marking what counts, the derivative in 1/β is this mean of
    m·(g − rate of the fact)·(r − mean of the prompt).
    """
    centred = (score - score.mean(axis=1, keepdims=True)).ravel()[rows]
    code = facts.get_indexer(pd.Index(part["cluster"]))
    counted = np.maximum(np.bincount(code, minlength=len(facts)), 1)
    rate = np.bincount(code, weights=events[rows], minlength=len(facts)) / counted
    product = (events[rows] - rate[code]) * centred
    return np.asarray(np.bincount(code, weights=product, minlength=len(facts)) / counted)


class Predicted(NamedTuple):
    table: pd.DataFrame
    """`PREDICTIONS`."""
    calibration: pd.DataFrame
    """`CALIBRATION`."""


def predictions(
    found: Sequence[Path],
    foreseen: Mapping[str, Mapping[str, Foreseen]],
    label: Mapping[str, str],
    rng: np.random.Generator,
) -> Predicted:
    """Predicted against measured changes; `foreseen`: proxy → measure → what base samples say."""
    rows, spreads = [], []
    facts = {len(each.votes) for by_measure in foreseen.values() for each in by_measure.values()}
    counts = {size: draw_clusters(rng, size) for size in sorted(facts)}
    for path in found:
        side = path.side()
        for measure, base in foreseen.get(path.proxy, {}).items():
            if measure not in path.rates:
                continue
            reach = min(base.reach, side.reaches(measure)) ** 2
            kl = [each for each in KL_GRID if each <= reach]
            if not kl:
                continue
            at, drawn = np.sqrt(kl), counts[len(base.votes)]
            measured, measured_spread = seed_mean(*read_at(side, measure, at), path.drawn)
            change = base.change(at)
            predicted, predicted_spread = change.mean(), change.replicate(drawn)
            size = min(len(measured_spread), len(predicted_spread))
            residual_spread = measured_spread[:size] - predicted_spread[:size]
            covariance = np.full(len(kl), float(base.covariance.mean()[0]))
            columns = {**path.columns, "name": str(path.way), "behaviour": measure, "label": label[measure],
                       "kl": kl, "furthest": np.arange(len(kl)) == len(kl) - 1}  # fmt: skip
            for name, value, spread in (
                ("covariance", covariance, np.repeat(base.covariance.replicate(drawn), len(kl), axis=1)),
                ("predicted", predicted, predicted_spread),
                ("measured", measured, measured_spread),
                ("residual", measured - predicted, residual_spread),
            ):
                lo, hi = percentile_interval(spread)
                columns |= {name: value, f"{name}_lo": lo, f"{name}_hi": hi}
            frame = pd.DataFrame(columns)
            changed = (frame["measured_lo"] > 0) | (frame["measured_hi"] < 0)
            right = np.sign(frame["covariance"]) == np.sign(frame["measured"])
            frame["sign_right"] = right.astype(object).where(changed, None)
            rows.append(frame)
            spreads.append(measured_spread.T)
    if not rows:
        return Predicted(PREDICTIONS.empty(), CALIBRATION.empty())
    table = PREDICTIONS.stack(rows)
    return Predicted(table, _calibration(table, np.concatenate(spreads), rng))


def _calibration(table: pd.DataFrame, spread: Floats, rng: np.random.Generator) -> pd.DataFrame:
    """How well the predictions did, by way of optimising and KL; kl NaN: each pair at the last it reaches."""
    rows = []
    for name in dict.fromkeys(table["name"]):
        mine = table["name"] == name
        for kl in (np.nan, *sorted(table.loc[mine, "kl"].unique())):
            chosen = mine & (table["furthest"] if np.isnan(kl) else table["kl"] == kl)
            rows.append({"name": name, "kl": kl, **_scores(table[chosen], spread[chosen.to_numpy()], rng)})
    return pd.DataFrame(rows, columns=CALIBRATION.names)


def _scores(pairs: pd.DataFrame, spread: Floats, rng: np.random.Generator) -> dict[str, object]:
    """Hit rate of the sign and the slope of measured on predicted change, through the origin.

    The slope's interval draws prompts anew and, where there are several, proxies: the pairs of one proxy hang
    together. The predictions are held fixed.
    """
    decided = pairs["sign_right"].dropna().astype(bool)
    code, proxies = pd.factorize(pairs["proxy"])
    predicted, measured = pairs["predicted"].to_numpy(), pairs["measured"].to_numpy()
    drawn = draw_clusters(rng, len(proxies), spread.shape[1])[:, code]
    below = drawn @ predicted**2
    slopes = np.divide(
        (drawn * spread.T) @ predicted, below, out=np.full(len(below), np.nan), where=below > 0
    )
    lo, hi = np.nanquantile(slopes, [0.025, 0.975]) if (below > 0).any() else (np.nan, np.nan)
    return {
        "pairs": len(pairs),
        "proxies": len(proxies),
        "changed": len(decided),
        "sign_hits": int(decided.sum()),
        "hit_rate": float(decided.mean()) if len(decided) else np.nan,
        "slope": float(predicted @ measured / (predicted @ predicted))
        if (predicted**2).sum() > 0
        else np.nan,
        "slope_lo": lo,
        "slope_hi": hi,
        "residual_rms": float(np.sqrt(np.mean(pairs["residual"] ** 2))),
    }


@once
def predicted(study: Study) -> Predicted:
    pool, probing, found = scored_pool(study), pool_probes(study), paths(study)
    foreseen = {}
    if pool is not None and probing is not None:
        foreseen = {proxy: foresee(pool, probing, proxy) for proxy in dict.fromkeys(p.proxy for p in found)}
    return predictions(found, foreseen, labels(study), study.stream("predictions"))


def _hits(row: Row) -> str:
    return MISSING if not row["changed"] else f"{row['sign_hits']} of {row['changed']}"


def _at(row: Row) -> str:
    return "largest of each" if np.isnan(row["kl"]) else f"{row['kl']:g}"


NAME = Column("name", TEXT, "the way of optimising", title="optimised by")
PREDICTIONS = Table(
    "behaviour_predictions",
    "Changes of behaviour, predicted from base samples and measured: one row per path, behaviour and KL.",
    (
        *PATH,
        NAME,
        Column("behaviour", TEXT, "the headline of a probe"),
        Column("label", TEXT, "what happens, in words", title="behaviour"),
        KL,
        Column("furthest", YES, "the largest KL of the grid that path and pool both reach"),
        Column("covariance", "s.d.", "of behaviour and reward under π_ref", interval=True, digits=3),
        Column("predicted", SHARE, "change of the rate, from base samples", interval=True),
        Column("measured", SHARE, "change of the rate along the path", interval=True),
        Column("residual", SHARE, "measured minus predicted", interval=True),
        Column("sign_right", YES, "covariance and measured change agree in sign; empty for a change that "
               "includes 0"),
    ),
    lambda study: predicted(study).table,
    Sheet(
        "Predicted and measured changes",
        "Of each behaviour's rate, at the largest KL of a grid of doublings that path and pool both "
        "reach. Covariance with the reward in its π_ref s.d. Brackets: 95 % intervals over prompts.",
        ("name", "proxy", "label", "kl", "covariance", "predicted", "measured", "residual", "sign_right"),
        lambda table: table[table["furthest"].eq(True)],
    ),
)  # fmt: skip
CALIBRATION = Table(
    "behaviour_calibration",
    "How well those predictions did, over all proxies and behaviours: one row per way and KL.",
    (
        NAME,
        Column("kl", NATS, "the KL; empty: each pair at the largest it reaches", title="at KL", show=_at),
        Column("pairs", COUNT, "paths and behaviours", title="changes"),
        Column("proxies", COUNT, "proxies among them"),
        Column("changed", COUNT, "changes whose interval excludes 0"),
        Column("sign_hits", COUNT, "of these, those foretold in sign", title="sign right", show=_hits),
        Column("hit_rate", SHARE, "sign_hits / changed"),
        Column("slope", "1", "measured over predicted change", interval=True),
        Column("residual_rms", SHARE, "root mean square of the residual", title="residual", digits=3),
    ),
    lambda study: predicted(study).calibration,
    Sheet(
        "How well base samples foretold behaviour",
        "Over all proxies and behaviours. Sign: how often the covariance of behaviour and reward under "
        "the reference policy has the sign of the measured change, among changes whose interval "
        "excludes zero. Slope: measured over predicted change, 1 where training only reweights; its "
        "interval draws prompts and proxies anew. Residual: root mean square of measured minus "
        "predicted change.",
        ("name", "kl", "pairs", "proxies", "sign_hits", "slope", "residual_rms"),
    ),
)
