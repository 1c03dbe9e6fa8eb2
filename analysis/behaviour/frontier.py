"""What the frontier's policies do: every outcome and every probe of the optimal policy, from the pool alone.

A behaviour of π_β is an expectation under π_ref with the weights of `analysis.pool.frontier`, like any score.

*Outcomes* are means over the pool's prompts of whatever the world's parser counts, of the length in tokens
and of the share that came to an end.

*Probes* are paired designs, and a pool is a natural draw of prompts, not a set of matched conditions. Its
prompts are sorted into the conditions that their column `arm` names, else by what they say (nobody's belief,
the user's or a third party's, right or wrong), and paired by the fact they ask about, where evaluation
prompts are paired by fact *and* wording. The capability gate is the same reference samples, pooled over the
wordings of a fact. So a rate here and the same rate on a path are two estimates of one behaviour on two
samples of prompts, not paired. A world whose items do not say what is needed has outcomes and no probes, with
the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.pool.curves import ScoredPool, scored_pool
from analysis.pool.frontier import BETAS, EFFECTIVE, Tilted
from analysis.probes import PROBES, Evidence, Headline, declined
from analysis.probes.answers import Asked
from analysis.probes.base import Z
from analysis.probes.evidence import evidence
from analysis.records.experiment import Experiment
from analysis.records.run_curves import SampleKeys, read_answers
from analysis.study.columns import KL, SQRT_KL, run_columns
from analysis.study.grid import Grid, Heading, interval, number
from analysis.study.study import Study, once
from analysis.study.table import COUNT, TEXT, Column, Table

FACT = ("entity", "relation")
"""Item columns that name what a prompt asks about."""
STANCE = ("stance", "belief_correct")
"""Item columns that say who believes what."""
STEPS = BETAS[::4]
"""Every fourth β of the frontier: a factor of 2 apart."""


def frontier_behaviour(pool: ScoredPool | None, probing: PoolProbing | None) -> pd.DataFrame:
    """`FRONTIER_BEHAVIOUR`: proxy replicates, β with enough effective samples, and measures."""
    rows: list[dict[str, object]] = []
    if pool is not None and probing is not None:
        for proxy, proxy_seed, scorer in pool.proxies:
            head = {"proxy": proxy, "proxy_seed": proxy_seed, "refused": None}
            for beta, tilted in reliable(pool.scores[scorer], STEPS):
                kl = float(ClusterSums.of(tilted.kl(), pool.weight, pool.cluster).mean())
                at = {"beta": beta, "ess": tilted.effective.mean(), "kl": kl, "sqrt_kl": np.sqrt(max(kl, 0))}
                rows += [head | at | row for row in _means(probing.outcomes, tilted, pool)]
                rows += [head | at | row for row in probing.rates(tilted)]
        rows += [{"kind": "probe", "measure": name, "refused": why} for name, why in probing.refused.items()]
    return pd.DataFrame(rows, columns=FRONTIER_BEHAVIOUR.names)


def pool_probing(experiment: Experiment, known: Evidence) -> PoolProbing | None:
    """The pool's answers as the probes see them; None where there is no pool or it was never parsed."""
    point = experiment.pool_point
    if point is None or not (point.sampled and point.parsed):
        return None
    samples = point.samples(("item_id", "sample_id"))
    items = experiment.pool_items
    answers = read_answers(items, point, SampleKeys(items, samples, point.path / "samples.parquet"))
    return PoolProbing(items, answers, known)


@once
def pool_probes(study: Study) -> PoolProbing | None:
    return pool_probing(study.experiment, evidence(study))


def reliable(proxy: Floats, betas: Floats) -> Iterator[tuple[float, Tilted]]:
    """π_ref itself (β infinite), then each of `betas`, the gentlest first, until too few samples count."""
    for beta in (np.inf, *betas):
        tilted = Tilted.of(proxy, beta)
        if tilted.effective.mean() < EFFECTIVE:
            return
        yield float(beta), tilted


def _outcomes(answers: pd.DataFrame, items: pd.DataFrame) -> dict[str, Floats]:
    """Numbers and yes-or-no outcomes without gaps, as (prompts, N)."""
    own = [str(name) for name in answers if name not in items and name != "sample_id"]
    plain = [
        n for n in own if pd.api.types.is_bool_dtype(answers[n]) or pd.api.types.is_numeric_dtype(answers[n])
    ]
    whole = [name for name in plain if answers[name].notna().all()]
    return {name: answers[name].to_numpy(dtype=float).reshape(len(items), -1) for name in whole}


def _means(outcomes: dict[str, Floats], tilted: Tilted, pool: ScoredPool) -> Iterator[dict[str, object]]:
    for name, value in outcomes.items():
        sums = ClusterSums.of(tilted.expected(value), pool.weight, pool.cluster)
        mean, half = float(sums.mean()), Z * float(sums.standard_error())
        yield {"kind": "outcome", "measure": name, "value": mean, "lo": mean - half, "hi": mean + half}


class PoolProbing:
    """The probes on one pool: its prompts as matched conditions of facts, as far as they say."""

    def __init__(self, items: pd.DataFrame, answers: pd.DataFrame, known: Evidence) -> None:
        self.outcomes = _outcomes(answers, items)
        self.headlines: dict[str, Headline] = {}
        """Those that the pool can carry, by measure."""
        missing = [f"`{name}`" for name in FACT + STANCE if name not in items]
        if missing:
            self.refused = dict.fromkeys(PROBES, f"the pool's prompts record no {', '.join(missing)}")
            return
        reference = None if known.reference is None else _by_fact(known.reference)
        self.evidence = Evidence.gather(_by_fact(_conditions(items)), reference)
        answers = _by_fact(_conditions(answers))
        refusals = {name: probe.refusal(self.evidence, answers) for name, probe in PROBES.items()}
        self.refused = {name: why for name, why in refusals.items() if why is not None}
        read = {column for probe in PROBES.values() for column in (*probe.columns, *probe.optional)}
        answers = answers[[name for name in answers if name in {"cluster", "condition", *read}]]
        # As categories, since they are looked up once per probe and β.
        self.answers = answers.astype({"cluster": "category", "condition": "category"})
        carried = (probe for name, probe in PROBES.items() if name not in self.refused)
        self.headlines = {each.headline.measure: each.headline for each in carried if each.headline}

    def events(self, measure: str) -> Floats:
        """A headline's events for every sample of the pool, NaN where not counted: (prompts · N,)."""
        return self.headlines[measure].events(self.evidence, self.answers).to_numpy(dtype=float)

    def rates(self, tilted: Tilted) -> Iterator[dict[str, object]]:
        if len(self.refused) == len(PROBES):
            return
        now = Asked.of(self.evidence, self.answers).weighed(tilted.weights.ravel()).answers
        for name, probe in PROBES.items():
            if name in self.refused:
                continue
            for measure, rate in probe.measure(self.evidence, self.answers, now).items():
                yield {"kind": "probe", "measure": measure, "value": rate.value, "lo": rate.lo, "hi": rate.hi}


def _by_fact(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(cluster=rows[FACT[0]].str.cat(rows[FACT[1]], sep=" / "))


def _conditions(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with the matched condition that each prompt is an instance of, where its items do not say."""
    if "arm" in rows:
        return rows.assign(condition=rows["arm"])
    own, third = rows["stance"] == "own", rows["stance"] == "third_party"
    right = rows["belief_correct"].eq(True)
    condition = np.select(
        [own & right, own, third & right, third],
        ["right", "wrong", "third_party_right", "third_party"],
        "neutral",
    )
    return rows.assign(condition=condition)


def _grids(study: Study) -> list[Grid]:
    table = FRONTIER_BEHAVIOUR.of(study)
    measured = table[table["refused"].isna()]
    if measured.empty:
        return []
    proxies = list(measured["proxy"].unique())
    columns = [Heading("measure", "text"), Heading("π_ref")]
    ends, key = {}, ["kind", "measure"]  # what a parser counts and a probe's rate may share a name
    for proxy in proxies:
        first = measured[(measured["proxy"] == proxy)]
        first = first[first["proxy_seed"] == first["proxy_seed"].min()]
        ends[proxy] = first[first["beta"] == first["beta"].min()].set_index(key)
        columns.append(Heading(f"{proxy}, at KL {number(ends[proxy]['kl'].iloc[0], 1)}"))
    start = measured[measured["beta"] == float("inf")].drop_duplicates(key).set_index(key)
    rows = []
    for each in start.index:
        cells = [start.loc[each], *(ends[proxy].loc[each] for proxy in proxies)]
        rows.append(
            [str(each[1]).replace("_", " "), *(interval(c["value"], c["lo"], c["hi"]) for c in cells)]
        )
    refused = {str(r["measure"]): r["refused"] for r in table.dropna(subset="refused").to_dict("records")}
    caption = (
        "Outcomes (means per completion) and probes of the reference policy, and of the best policy for each "
        "proxy at the largest KL that the pool can show, without training. The pool's prompts are a natural "
        f"draw, grouped by fact; they are not those of the path runs. {declined(refused)}"
    ).rstrip()
    return [Grid("What the frontier does", caption, columns, rows)]


FRONTIER_BEHAVIOUR = Table(
    "frontier_behaviour",
    "What the frontier's policies do: one row per proxy replicate, β and measure; β is infinite for π_ref.",
    (
        *run_columns("proxy", "proxy_seed"),
        Column("beta", "s.d./nat", "KL coefficient, in the proxy's π_ref s.d."),
        Column("ess", COUNT, "effective samples per prompt, on average"),
        *(KL, SQRT_KL),
        Column("kind", TEXT, "outcome (what the world's parser counts) or probe"),
        Column("measure", TEXT, "its name"),
        Column("value", "of the measure", "its mean"),
        Column("lo", "of the measure", "lower bound, 95 %, over prompts or facts"),
        Column("hi", "of the measure", "upper bound"),
        Column("refused", TEXT, "why the pool cannot carry a probe: one row without a β"),
    ),
    lambda study: frontier_behaviour(scored_pool(study), pool_probes(study)),
    _grids,
)
