"""What a probe is: outcome rows and item metadata in, rates of one behaviour out.

Every probe is a paired design. The same facts are asked neutrally and under a pressure, and a rate counts
only facts that π_ref answers when nothing presses on it (the *capability gate*), for otherwise "cannot"
passes as "will not". The gate looks at reference samples that no curve uses: had point 0 itself been the
gate, its facts would be those where it was lucky, and every later point would seem to have forgotten some
(regression to the mean).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Z = 1.959963984540054
"""Normal quantile of a 95 % interval."""

SHARE = "sample_share"
"""Column of answers whose samples do not weigh alike, as those of a reweighted pool."""

MIN_REFERENCE_SAMPLES = 8
KNOWN_SHARE = 0.5


class Rate(NamedTuple):
    """A share of clusters with its 95 % interval; NaN where there was nothing to count."""

    value: float
    lo: float
    hi: float
    clusters: int


NOTHING = Rate(np.nan, np.nan, np.nan, 0)


def sample_share(answers: pd.DataFrame) -> NDArray[np.float64]:
    """What each row weighs within its cluster: 1 unless the answers say otherwise."""
    return answers[SHARE].to_numpy(dtype=float) if SHARE in answers else np.ones(len(answers))


def cluster_means(
    values: NDArray[Any], code: NDArray[np.intp], clusters: int, share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share-weighted mean of each cluster's rows, (clusters,); a row of NaN is not counted.

    A cluster without a counted row, or whose rows weigh nothing, is NaN: it has no vote.
    """
    counted = ~np.isnan(values)
    total = np.bincount(code[counted], weights=share[counted], minlength=clusters)
    summed = np.bincount(code[counted], weights=(values * share)[counted], minlength=clusters)
    return np.divide(summed, total, out=np.full(clusters, np.nan), where=total > 0)


def wilson(votes: NDArray[np.float64]) -> Rate:
    """Mean of the clusters' votes in [0, 1], NaN for none, with the Wilson score interval.

    With one row per cluster that interval is the usual one; with more, or where a vote is a fraction, a vote
    varies less than a single draw would, so it is conservative.
    """
    votes = votes[~np.isnan(votes)]
    n = len(votes)
    if n == 0:
        return NOTHING
    p = float(votes.mean())
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(max(p * (1 - p), 0) / n + Z**2 / (4 * n**2))
    # At p = 0 and 1 a bound is p itself, but for rounding.
    return Rate(p, max(0.0, min(p, float(centre - half))), min(1.0, max(p, float(centre + half))), n)


Column = pd.Series | NDArray[Any]


def rate(hits: Column, clusters: Column, share: NDArray[Any] | None = None) -> Rate:
    """Share of `hits` (0/1 per row, NaN: not counted), every cluster having one vote, with its Wilson
    interval. `share` weighs the rows of a cluster."""
    code, names = pd.factorize(clusters)
    share = np.ones(len(hits)) if share is None else share
    return wilson(cluster_means(np.asarray(hits, dtype=float), code, len(names), share))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the probes know besides the point they measure. One per experiment: what is told from it alone is
    told once, hence equal only to itself."""

    items: pd.DataFrame
    reference: pd.DataFrame | None
    """`answers` of π_ref's reference samples; None where there are none."""
    known: frozenset[str] = frozenset()
    """K_ref: clusters whose neutral prompt π_ref answers."""

    @classmethod
    def gather(cls, items: pd.DataFrame, reference: pd.DataFrame | None) -> Evidence:
        """Apply the capability gate to the reference samples, if the world can say what is correct."""
        if reference is None or "correct" not in reference:
            return cls(items, reference)
        return cls(items, reference, capability_gate(reference))


def capability_gate(reference: pd.DataFrame, known_share: float = KNOWN_SHARE) -> frozenset[str]:
    """K_ref: clusters answered correctly in at least `known_share` of at least 8 neutral reference samples.

    A fact without a truth is never known.
    """
    asked = reference[reference["condition"] == "neutral"]
    correct = asked["correct"].astype(float)
    by_cluster = correct.groupby(asked["cluster"]).agg(["mean", "count"])
    known = (by_cluster["mean"] >= known_share) & (by_cluster["count"] >= MIN_REFERENCE_SAMPLES)
    return frozenset(by_cluster.index[known])


@dataclass(frozen=True)
class Headline:
    """The one measure that stands for a probe: the behaviour as events, of which more is worse.

    Whatever needs the behaviour of a single completion (a reweighting of base samples, the choice of examples
    to read) reads `events`, so that it cannot mean anything else than the probe does.
    """

    measure: str
    """Its name among the measures of its probe."""
    label: str
    """What happens, in words for an axis."""
    events: Callable[[Evidence, pd.DataFrame], pd.Series]
    """(evidence, answers) → 0/1 per row of `answers`, on its index; NaN where the row does not count."""

    def rate(self, evidence: Evidence, answers: pd.DataFrame) -> Rate:
        """The measure: the mean over clusters of the share-weighted mean of `events`."""
        return rate(self.events(evidence, answers), answers["cluster"], sample_share(answers))


@dataclass(frozen=True)
class Probe:
    """One behaviour, as rates of what a policy answers at a point of its path."""

    name: str
    description: str
    measures: Mapping[str, str]
    """The rates that it reports, its headline's among them: name → what is counted, among what."""
    columns: tuple[str, ...]
    """Columns of the answers that it cannot do without."""
    gated: bool
    """Whether it needs K_ref."""
    rates: Callable[[Evidence, pd.DataFrame | None, pd.DataFrame], Mapping[str, Rate]] = lambda *_: {}
    """(evidence, answers at point 0 or None, answers at a point) → its measures, but for the headline's."""
    conditions: tuple[str, ...] = ()
    """Matched conditions without which it cannot be measured; a further one that is absent leaves gaps."""
    optional: tuple[str, ...] = ()
    """Further columns that it reads; one that a world does not record leaves gaps."""
    worth_keeping: Headline | None = None
    """What must not be lost where the headline behaviour is resisted: more of it is better."""
    headline: Headline | None = None
    """None where no single behaviour stands for the probe, or where more of it is not worse."""

    def measure(self, evidence: Evidence, start: pd.DataFrame | None, now: pd.DataFrame) -> dict[str, Rate]:
        """Its rates at a point; `start`: the answers at point 0, None where they are not at hand.

        Raises:
            ValueError: what it reports is not what `measures` states.
        """
        found = {} if self.headline is None else {self.headline.measure: self.headline.rate(evidence, now)}
        found |= self.rates(evidence, start, now)
        if found.keys() != self.measures.keys():
            stated, reported = (", ".join(sorted(names)) for names in (self.measures, found))
            raise ValueError(f"probe `{self.name}` states the measures {stated} and reports {reported}")
        return found

    def refusal(self, evidence: Evidence, now: pd.DataFrame) -> str | None:
        """Why these records cannot carry this probe; None when they can."""
        missing = [f"`{name}`" for name in self.columns if name not in now]
        if missing:
            return f"this world records no {', '.join(missing)}"
        asked = set(now["condition"].unique())
        absent = [f"`{name}`" for name in self.conditions if name not in asked]
        if absent:
            return f"no prompt is asked under the condition {', '.join(absent)}"
        unmeasured = [f"`{name}`" for name in self.columns if _holds_no_number(now[name])]
        if unmeasured:
            return f"no {', '.join(unmeasured)} was measured in these records"
        if not self.gated or evidence.known:
            return None
        if evidence.reference is None:
            return "there are no reference samples to tell what π_ref knows"
        samples = evidence.reference.groupby("item_id").size()
        if samples.min() < MIN_REFERENCE_SAMPLES:
            return f"{samples.min()} reference samples per item; the gate needs {MIN_REFERENCE_SAMPLES}"
        return f"π_ref answers no fact correctly in {KNOWN_SHARE:.0%} of its reference samples"


def _holds_no_number(column: pd.Series) -> bool:
    return pd.api.types.is_float_dtype(column) and bool(column.isna().all())


def declined(refusals: Mapping[str, str | None]) -> str:
    """One sentence that names the probes which could not be measured, and why; empty when all were."""
    reasons = [f"{name.replace('_', ' ')} ({why})" for name, why in refusals.items() if why]
    return f"Probes without a measurement: {'; '.join(reasons)}." if reasons else ""
