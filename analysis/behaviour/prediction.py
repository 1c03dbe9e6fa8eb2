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

from analysis.behaviour.frontier import PoolProbing, reliable
from analysis.behaviour.rates import PATH_COLUMNS, Path, cluster_votes
from analysis.equal_kl.comparison import KL_GRID, read_at, seed_mean
from analysis.estimators.bootstrap import ClusterSums, draw_clusters, percentile_interval
from analysis.pool.curves import ScoredPool
from analysis.pool.frontier import BETAS

Floats = NDArray[np.float64]

QUANTITIES = ("covariance", "predicted", "measured", "residual")
PREDICTION_COLUMNS = (
    *PATH_COLUMNS,
    *("name", "behaviour", "label", "kl", "furthest"),
    *(f"{name}{end}" for name in QUANTITIES for end in ("", "_lo", "_hi")),
    "sign_right",
)
CALIBRATION_COLUMNS = (
    *("name", "kl", "pairs", "proxies", "changed", "sign_hits", "hit_rate"),
    *("slope", "slope_lo", "slope_hi", "residual_rms"),
)


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
    """`PREDICTION_COLUMNS`."""
    calibration: pd.DataFrame
    """`CALIBRATION_COLUMNS`."""


def predictions(
    paths: Sequence[Path],
    foreseen: Mapping[str, Mapping[str, Foreseen]],
    labels: Mapping[str, str],
    rng: np.random.Generator,
) -> Predicted:
    """Predicted against measured changes; `foreseen`: proxy → measure → what base samples say.

    The table has one row per path, behaviour and KL of `KL_GRID` that path and frontier both reach;
    `furthest` marks the last. Changes are of rates, with 95 % intervals; residual is measured minus
    predicted. `sign_right` says whether the covariance has the sign of the measured change; None where that
    change's interval holds 0.
    """
    rows, spreads = [], []
    facts = {len(each.votes) for by_measure in foreseen.values() for each in by_measure.values()}
    counts = {size: draw_clusters(rng, size) for size in sorted(facts)}
    for path in paths:
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
            columns = {**path.columns, "name": str(path.way), "behaviour": measure, "label": labels[measure],
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
            rows.append(frame[list(PREDICTION_COLUMNS)])
            spreads.append(measured_spread.T)
    if not rows:
        empty = pd.DataFrame(columns=list(PREDICTION_COLUMNS))
        return Predicted(empty, pd.DataFrame(columns=list(CALIBRATION_COLUMNS)))
    table = pd.concat(rows, ignore_index=True)
    return Predicted(table, _calibration(table, np.concatenate(spreads), rng))


def _calibration(table: pd.DataFrame, spread: Floats, rng: np.random.Generator) -> pd.DataFrame:
    """How well the predictions did, by way of optimising and KL; kl NaN: each pair at the last it reaches."""
    rows = []
    for name in dict.fromkeys(table["name"]):
        mine = table["name"] == name
        for kl in (np.nan, *sorted(table.loc[mine, "kl"].unique())):
            chosen = mine & (table["furthest"] if np.isnan(kl) else table["kl"] == kl)
            rows.append({"name": name, "kl": kl, **_scores(table[chosen], spread[chosen.to_numpy()], rng)})
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


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
