"""What happened, in sentences computed from `checks`: also what did not happen, and what nobody can
tell.

No sentence is written by hand for an experiment; a claim whose interval includes zero is reported as not
shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from analysis.figures.drawing.way_looks import way_label
from analysis.probes import declined
from analysis.probes.evidence import headline_behaviour, refusals
from analysis.records.experiment import Experiment
from analysis.records.way import Way
from analysis.report.growth import along, growth, net
from analysis.study.grid import interval, number
from analysis.tables.claims import checks
from analysis.tables.humps import BEST_OF_N, ENDS, PATH
from analysis.tables.tables import Tables

UNIT = "π_ref s.d."
WORDS = (
    ("reference policy (π_ref)", "the policy before optimisation; every curve starts there."),
    ("proxy", "the reward model that the policy was optimised against."),
    ("gold", "a held-out reward model that stands in for the truth; the policy never saw it."),
    ("oracle", "a program that knows the true value of a completion; only a synthetic world has one."),
    ("KL", "how far the policy has moved from the reference policy, in nats per sequence."),
    (
        "best-of-n",
        "no training: n samples from the reference policy, of which the proxy's favourite is kept.",
    ),
    ("path run", "a run with next to no KL penalty, measured each time it crosses the next KL of a grid."),
    ("budget", "the KL that a run was allowed to spend."),
    (UNIT, "standard deviations of a score over the reference policy's own samples."),
)


def words(tables: Tables) -> list[tuple[str, str]]:
    """The words that the report uses, and what they mean."""
    shown = headline_behaviour(tables.study)
    return [*WORDS, *([(_name(tables), f"the headline behaviour: it {shown.label}.")] if shown else [])]


def _name(tables: Tables) -> str:
    """The headline behaviour in words."""
    return tables.study.experiment.headline_behaviour.replace("_", " ")


HOW = {
    BEST_OF_N: "Under best-of-n",
    ENDS: "In policies held at budgets or under a penalty",
    PATH: "Along unpenalised paths",
}
"""How KL was spent, in the order of the headline; numbers are of proxies."""


@dataclass(frozen=True)
class Finding:
    """What is to be said about one subject, in plain sentences."""

    subject: str
    sentences: Sequence[str]


def headline(tables: Tables) -> str:
    """What a reader should know first: by each way of spending KL, for how many proxies gold and the oracle
    rose and then fell (`analysis.tables.humps`), and along how many paths the headline behaviour grew."""
    shown, sentences = tables["humps"], []
    for method, words in HOW.items():
        mine = shown[shown["method"] == method] if len(shown) else shown
        counts = [
            f"{score} for {number_of(rows['hump'])}" for score, rows in mine.groupby("score", sort=False)
        ]
        if counts:
            sentences.append(f"{words}, these rose and then fell: {', '.join(counts)}.")
    grown = along(tables, tables["behaviour_onsets"])
    if len(grown):
        count = number_of(grown["onset_kl"].notna())
        sentences.append(f"{_name(tables).capitalize()} grew along {count} paths.")
    return " ".join(sentences) or "No run left enough scored points to say what happened."


def number_of(held: pd.Series) -> str:
    """ "2 of 3"."""
    return f"{int(held.sum())} of {len(held)}"


def findings(experiment: Experiment, tables: Tables) -> list[Finding]:
    """By subject, from completed runs, the most important first; also the claims that do not hold."""
    claimed, shown = checks(tables.study), headline_behaviour(tables.study)
    found = [Finding("How far gold can be trusted", _gold(experiment))]
    whole = tables.runs["status"] == "complete"
    paths = tables.runs[whole & tables.runs["run_id"].isin(claimed["proxy_rises"])]
    for (method, proxy), runs in paths.sort_values(["proxy_pairs", "proxy"]).groupby(
        ["method", "proxy"], sort=False
    ):
        ids = list(runs["run_id"])
        sentences = [
            _rise(_of(claimed["proxy_rises"], ids)),
            _hump("gold", _of(claimed["gold_peak_inside"], ids)),
        ]
        if experiment.has_oracle:
            sentences.append(_hump("oracle", _of(claimed["oracle_peak_inside"], ids)))
        if shown is not None:
            sentences.append(growth(tables, shown, method=str(method), proxy=str(proxy)))
            sentences += net(tables, shown.measure, ids)
        pairs = int(runs["proxy_pairs"].iloc[0])
        found.append(
            Finding(
                f"{way_label(experiment.ways[str(method)])} against the {proxy} proxy ({pairs:,} pairs)",
                sentences,
            )
        )
    found.append(Finding("Laws of the gold score", _laws(tables.fits, experiment.ways)))
    found.append(Finding("KL budgets", _budgets(claimed["budgets"])))
    missing = [sentence for sentence in [declined(refusals(tables.study))] if sentence]
    if not experiment.has_oracle:
        missing.append(
            "This world has no oracle: whether gold itself was fooled cannot be told from these records."
        )
    zero = claimed["kl_step0_zero"]
    if zero is not None and not zero["ok"]:
        missing.append(
            f"The KL at step 0 must be zero and reads up to {zero['largest']:.2g} nats: do not trust the KL "
            f"axis."
        )
    found.append(Finding("Not measured, or not to be trusted", missing))
    return [finding for finding in found if finding.sentences]


def _gold(experiment: Experiment) -> list[str]:
    """What gold's card says of it: all curves of gold mean no more than that."""
    card = next((card for card in experiment.cards if card["kind"] == "gold"), None)
    if card is None or not card.get("accuracy_ci"):
        return []
    low, high = card["accuracy_ci"]
    share = f"{interval(card['accuracy'], low, high)} of {card['heldout_pairs']:,} held-out pairs"
    if low > 0.5:
        return [f"Gold puts {share} in the order of their labels, which is better than chance (0.50)."]
    verdict = "worse than chance" if high < 0.5 else "not shown to be better than chance"
    truth = "and only the oracle shows" if experiment.has_oracle else "and nobody knows"
    return [
        f"Gold puts {share} in the order of their labels: it is {verdict} (0.50). What follows about gold is "
        f"about this network, {truth} what became better."
    ]


def _of(claims: Mapping[str, Any], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The claims that could be computed, in the order of ``ids``."""
    return [claims[run_id] for run_id in ids if claims.get(run_id) is not None]


def _each(values: Sequence[Mapping[str, Any]]) -> str:
    """ "+1.20 [1.10, 1.30]" of a run or two; of more, their median and range (each run is in the tables)."""
    if len(values) <= 2:
        return " and ".join(interval(value["value"], *value["ci"], sign=True) for value in values)
    return _range([value["value"] for value in values], sign=True)


def _range(values: Sequence[float], digits: int = 2, *, sign: bool = False) -> str:
    low, middle, high = (number(f(values), digits, sign=sign) for f in (min, median, max))
    return f"median {middle}, runs from {low} to {high}"


def _how_many(claims: Sequence[Mapping[str, Any]]) -> str:
    held = sum(bool(claim["ok"]) for claim in claims)
    return "" if len(claims) == 1 else f" in {held} of {len(claims)} runs"


def _rise(claims: Sequence[Mapping[str, Any]]) -> str:
    if not claims:
        return "No run left two scored points, so nothing can be said about the proxy score."
    values = f"{_each(claims)} {UNIT}"
    if any(claim["ok"] for claim in claims):
        return f"The proxy score rose{_how_many(claims)} from the first to the last point ({values})."
    return f"The proxy score did not clearly rise ({values}); too little was optimised to judge the rest."


def _hump(score: str, claims: Sequence[Mapping[str, Any]]) -> str:
    if not claims:
        return f"The {score} score was measured at too few points or prompts to look for a peak."
    peaks = [claim["peak_kl"] for claim in claims]
    places = _range(peaks, 1) if len(peaks) > 2 else " and ".join(number(kl, 1) for kl in peaks)
    rise, fall = (_each([claim[part] for claim in claims]) for part in ("rise", "fall"))
    numbers = f"up {rise}, then down {fall} {UNIT} by the end; highest at KL {places} nats"
    if any(claim["ok"] for claim in claims):
        return f"The {score} score rose and then fell{_how_many(claims)} ({numbers})."
    if any(claim["fall"]["ci"][0] > 0 for claim in claims):
        return f"The {score} score fell without first rising clearly ({numbers})."
    if any(claim["rise"]["ci"][0] > 0 for claim in claims):
        shown = f"no overoptimisation of {score} is shown"
        return f"The {score} score rose and no clear fall appeared ({numbers}): {shown}."
    return f"The {score} score did not change clearly ({numbers})."


def _laws(fits: pd.DataFrame, ways: Mapping[str, Way]) -> list[str]:
    sentences = []
    for row in fits[fits["score"] == "gold"].to_dict("records") if len(fits) else ():
        if row["refused"] is not None:
            sentences.append(f"No law could be fitted to {row['curve']}: {row['refused']}.")
            continue
        form = "d(α − βd)" if row["law"] == "best_of_n" else "d(α − β log d)"
        if pd.isna(row["peak_kl"]):
            peak = "it has no peak that the interval of β supports"
        else:
            where = "inside the data" if row["peak_inside_data"] else "beyond the data, an extrapolation"
            place = interval(row["peak_kl"], row["peak_kl_lo"], row["peak_kl_hi"], 1)
            peak = f"it peaks at KL {place} nats, {where}"
        how = "Best-of-n" if row["method"] == "best_of_n" else way_label(ways[row["method"]])
        sentences.append(
            f"{how}, {row['proxy']} proxy: {form} follows the gold curve with R² = {row['r2']:.3f}; {peak}."
        )
    return sentences


def _budgets(budgets: Sequence[Mapping[str, Any]]) -> list[str]:
    if not budgets:
        return []
    held = sum(row["ok"] for row in budgets)
    missed = [
        f"{row['run_id']} spent {number(row['kl'], 1)} of {row['budget']:g}"
        for row in budgets
        if not row["ok"]
    ]
    tail = ""
    if len(missed) > 2:
        tail = f"; the {len(missed)} that missed it are in the tables"
    elif missed:
        tail = f"; missed: {' and '.join(missed)} nats"
    return [f"{held} of {len(budgets)} runs with a KL budget ended within 25 % of it{tail}."]


def limits(experiment: Experiment, tables: Tables) -> list[str]:
    """What a reader must not conclude."""
    shown = headline_behaviour(tables.study)
    paths = tables.runs[tables.runs["control"] == "path"]
    seeds = paths.groupby(["method", "proxy"])["run_id"].nunique()
    proxies = paths.groupby(["method", "proxy"])["proxy_seed"].nunique()
    truth = "the oracle is a fixed scoring rule" if experiment.has_oracle else "there is no oracle beside it"
    sentences = [
        f"Gold is a model, not the truth: it can be fooled as the proxy is, and {truth}.",
        f"One world ({experiment.world}) and one reference policy: the KL at which things turn does not "
        f"carry over.",
        "Small models: what a larger policy would find to exploit, or would resist, is not seen here.",
        *(
            [f"{_name(tables).capitalize()} is measured by what is said; it says nothing about intent."]
            if shown
            else []
        ),
        "Laws are descriptions of the range they were fitted on; a good R² is no licence to extrapolate.",
    ]
    if len(seeds):
        few = f"{int(seeds.min())} policy run{'s' if seeds.min() > 1 else ''} on {int(proxies.min())}"
        text = (
            f"At least {few} trained proxy per setting"
            if seeds.min() > 1
            else f"As few as {few} trained proxy per setting"
        )
        sentences.insert(2, f"{text}: intervals over prompts do not cover how another seed would have gone.")
    return sentences
