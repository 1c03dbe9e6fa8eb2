"""How often each behaviour occurs along a path, and how surely: what every table of this package starts from.

A rate is the mean over clusters of the mean of a headline's events. Point 0 answered the same prompts, so a
change is paired by cluster: one draw of clusters serves both places.

Rare behaviours need care. Where π_ref never does something, resampling finds no spread there, and four events
among a hundred prompts pass for a certainty that an exact test denies. Hence two further clusters, one with
the event at the point alone and one with it at point 0 alone (Bonett & Price 2012, "Adjusted Wald confidence
interval for a difference of binomial proportions based on paired data"): they are in every `adjusted` rate
and are drawn like any other cluster. Intervals and effect sizes rest on them; `raw` rates do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.equal_kl.comparison import Side
from analysis.equal_kl.traced import Traced
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import draw_shares
from analysis.probes import Evidence, Headline
from analysis.probes.base import cluster_means, sample_share
from analysis.probes.evidence import evidence, headlines
from analysis.records.run_curves import RunCurves
from analysis.records.way import Way, grouped
from analysis.study.study import Study, once


def cluster_votes(
    events: Floats, answers: pd.DataFrame, clusters: pd.Index, share: Floats | None = None
) -> tuple[Floats, Floats]:
    """Each cluster's mean of its counted `events` (0 where none is), and whether any is: (clusters,) each.

    `share` weighs the rows; by default the answers' own.
    """
    share = sample_share(answers) if share is None else share
    votes = cluster_means(events, clusters.get_indexer(pd.Index(answers["cluster"])), len(clusters), share)
    return np.nan_to_num(votes), np.isfinite(votes).astype(float)


@dataclass(frozen=True)
class Rates:
    """One behaviour along one path, rates in [0, 1]; NaN where nothing was counted."""

    raw: Floats
    """(points,)."""
    clusters: Floats
    """How many clusters are counted: (points,)."""
    now: Floats
    """Adjusted: (points,)."""
    start: Floats
    """That of point 0, adjusted as the place a point is compared with: (points,), all alike."""
    resampled_now: Floats
    """(replicates, points)."""
    resampled_start: Floats
    """(replicates, points), columns alike."""

    @classmethod
    def of(cls, hits: Floats, votes: Floats, counts: Floats, rng: np.random.Generator) -> Rates:
        """From `cluster_votes` at every point, (points, clusters), and draws (replicates, clusters)."""
        extra = rng.poisson(1.0, size=(len(counts), 2)).astype(float)
        with np.errstate(invalid="ignore"):
            raw = hits.sum(axis=1) / votes.sum(axis=1)
        unknown = np.isnan(raw) | np.isnan(raw[:1])
        now = (hits.sum(axis=1) + 1) / (votes.sum(axis=1) + 2)
        drawn_hits, drawn_votes = counts @ hits.T, counts @ votes.T + extra.sum(axis=1, keepdims=True)
        # A draw without any counted cluster says nothing: half a vote each way.
        resampled = (drawn_hits + extra[:, :1] + 0.5 * (drawn_votes == 0)) / np.maximum(drawn_votes, 1)
        before = (drawn_hits + extra[:, 1:] + 0.5 * (drawn_votes == 0)) / np.maximum(drawn_votes, 1)
        gap = np.where(unknown, np.nan, 0.0)
        return cls(raw, votes.sum(axis=1), now + gap, now[0] + gap, resampled + gap, before[:, :1] + gap)

    @property
    def change(self) -> Floats:
        """Raw rate minus that of point 0: (points,)."""
        return self.raw - self.raw[0]

    @property
    def resampled_change(self) -> Floats:
        """(replicates, points)."""
        return self.resampled_now - self.resampled_start


def mean_rates(runs: Sequence[Rates], shares: Floats) -> Rates:
    """Of several seeds at their common places; `shares` (replicates, runs) is of `draw_shares`."""
    places = min(len(each.raw) for each in runs)

    def mean(name: str) -> Floats:
        return np.asarray(np.mean([getattr(each, name)[:places] for each in runs], axis=0))

    def drawn(name: str) -> Floats:
        every = np.stack([getattr(each, name)[:, :places] for each in runs])
        return np.einsum("br,rbp->bp", shares, every).clip(0, 1)

    fixed = {name: mean(name) for name in ("raw", "clusters", "now", "start")}
    return Rates(**fixed, **{name: drawn(name) for name in ("resampled_now", "resampled_start")})


@dataclass(frozen=True)
class Path:
    """All completed path runs of one method, group and proxy, and every behaviour along each."""

    way: Way
    """Its groups told apart where it has several."""
    group: str | None
    proxy: str
    runs: Sequence[RunCurves]
    resampled_d: Sequence[Floats]
    """√KL of each run with prompts drawn anew: (replicates, points)."""
    rates: Mapping[str, Sequence[Rates]]
    """By headline measure, one per run."""
    drawn: Floats
    """What each run weighs: (replicates, runs)."""

    @property
    def places(self) -> int:
        """How many points all seeds have: under path control the k-th of each is at the same crossing."""
        return min(len(each.steps) for each in self.runs)

    def mean(self, name: str) -> Floats:
        """Mean over seeds of a curve of `RunCurves.sums` at the common places: (places,)."""
        return np.asarray(np.mean([each.sums[name].mean()[: self.places] for each in self.runs], axis=0))

    @property
    def step(self) -> Floats:
        return np.asarray(np.mean([each.steps[: self.places] for each in self.runs], axis=0))

    def rate(self, measure: str) -> Rates:
        """One behaviour, seeds averaged."""
        return mean_rates(self.rates[measure], self.drawn)

    def side(self) -> Side:
        """The changes of all rates since point 0 as a side that can be read, or compared, at equal KL."""
        traced = [
            Traced(
                d=np.sqrt(np.maximum(run.sums["kl"].mean(), 0)),
                scores={name: rates[place].change for name, rates in self.rates.items()},
                resampled_d=self.resampled_d[place],
                resampled={name: rates[place].resampled_change for name, rates in self.rates.items()},
            )
            for place, run in enumerate(self.runs)
        ]
        first = self.runs[0].run
        seeds = tuple(each.run.proxy_seed for each in self.runs)
        return Side(self.way, self.proxy, first.proxy_pairs, seeds, traced, "evaluation")

    @property
    def columns(self) -> dict[str, object]:
        """What names this path in a table."""
        return {
            "method": str(self.runs[0].run.way),
            "group": self.group,
            "proxy": self.proxy,
            "proxy_pairs": self.runs[0].run.proxy_pairs,
            "runs": len(self.runs),
            "proxy_seeds": len({each.run.proxy_seed for each in self.runs}),
        }


def behaviour_paths(
    curves: Sequence[RunCurves],
    known: Evidence,
    carried: Mapping[str, Headline],
    counts: Floats,
    rng: np.random.Generator,
) -> list[Path]:
    """The completed path runs that were parsed, by way, group and proxy; `carried` by measure."""
    usable = [
        e
        for e in curves
        if e.run.control == "path" and e.run.status == "complete" and 0 in e.answers and e.measured("kl")
    ]
    ways = grouped((each.run.way, each.run.group) for each in usable)
    clusters = pd.Index(known.items["cluster"].unique())
    found = []
    for way, group, proxy in dict.fromkeys((e.run.way, e.run.group, e.run.proxy) for e in usable):
        mine = [e for e in usable if (e.run.way, e.run.group, e.run.proxy) == (way, group, proxy)]
        tallies = [tally(each, known, carried, clusters) for each in mine]
        rates = {
            measure: [Rates.of(*tally[measure], counts, rng) for tally in tallies] for measure in carried
        }
        d = [np.sqrt(np.maximum(each.sums["kl"].replicate(counts), 0)) for each in mine]
        (drawn,) = draw_shares(rng, [[e.run.proxy_seed for e in mine]], len(counts))
        found.append(Path(ways[way, group], group, proxy, mine, d, rates, drawn))
    return sorted(found, key=lambda path: (path.runs[0].run.proxy_pairs, path.proxy, str(path.way)))


@once
def paths(study: Study) -> list[Path]:
    """Every path with all behaviours that these records carry."""
    rng = study.stream("behaviour")
    return behaviour_paths(study.curves, evidence(study), headlines(study), study.counts, rng)


@once
def labels(study: Study) -> dict[str, str]:
    """Behaviour → what happens, in words."""
    return {measure: headline.label for measure, headline in headlines(study).items()}


def tally(
    run: RunCurves, known: Evidence, carried: Mapping[str, Headline], clusters: pd.Index
) -> dict[str, tuple[Floats, Floats]]:
    """`cluster_votes` of every behaviour at every point of one run: (points, clusters) each."""
    shape = (len(run.steps), len(clusters))
    tallies = {measure: (np.zeros(shape), np.zeros(shape)) for measure in carried}
    for place, step in enumerate(run.steps):
        if int(step) not in run.answers:
            continue
        answers = run.answers[int(step)]
        for measure, headline in carried.items():
            hits, votes = cluster_votes(
                headline.events(known, answers).to_numpy(dtype=float), answers, clusters
            )
            tallies[measure][0][place], tallies[measure][1][place] = hits, votes
    return tallies
