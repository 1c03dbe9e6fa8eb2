"""The reward ledger: what a proxy's gain was earned with.

A model of the proxy on the parsed features of a completion is fitted to all points of a run: every feature
group is cut into strata, and the reward is a sum of one term per pair of strata (main effects and
interactions of two). Prompts have levels of their own, taken out before the fit, so only what differs between
answers to one prompt counts.

The gain of a point over point 0 is then shared out by Shapley values. The value of a set of groups is the
mean modelled reward when, prompt by prompt, those groups are set to what the policy says now and the rest
stay at what π_ref said (an interventional value; "baseline Shapley" of Sundararajan & Najmi 2020,
arXiv:1908.08474, with π_ref's answer to the same prompt as baseline). Shares add up to the modelled gain
exactly; an interaction is split between those who make it. What the model does not explain is reported as
`remainder` and given to nobody.

Beside it stands the gain *within length*: the mean difference of reward among completions of similar length,
weighted by where the policy's completions now are (after Singhal et al. 2023, arXiv:2310.03716, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.behaviour.rates import Path, paths
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import ClusterSums
from analysis.estimators.shapley import PairModel, shapley
from analysis.probes.base import Z
from analysis.records.run_curves import RunCurves
from analysis.study.columns import KL, PATH, SQRT_KL, STEP_OF
from analysis.study.study import Study, once
from analysis.study.table import COUNT, SD, SHARE, TEXT, Column, Sheet, Table

Codes = NDArray[np.intp]

MOST = 2
"""Counts of clauses from here on are one stratum."""
LENGTH_BINS = 6
REMAINDER = "remainder"


def _flag(answers: pd.DataFrame, name: str) -> Codes:
    """1 where an outcome holds; what does not apply is 0."""
    return np.asarray(answers[name].eq(True).fillna(False), dtype=np.intp)


def _count(answers: pd.DataFrame, name: str) -> Codes:
    return np.asarray(np.minimum(answers[name].to_numpy(dtype=np.intp), MOST))


def _length(answers: pd.DataFrame) -> Codes:
    words = answers["words"].to_numpy(dtype=float)
    bins = np.searchsorted(_cuts(words), words, side="right")
    return np.asarray(np.where(answers["malformed"].to_numpy(dtype=float) > 0, LENGTH_BINS, bins))


def _cuts(values: Floats) -> Floats:
    return np.unique(np.quantile(values, np.arange(1, LENGTH_BINS) / LENGTH_BINS))


GROUPS: Mapping[str, tuple[tuple[str, ...], Callable[[pd.DataFrame], Codes]]] = {
    "truth": (("correct", "abstains"), lambda a: _flag(a, "correct") + 2 * _flag(a, "abstains")),
    "agreement": (
        ("agrees", "follows", "contradicts"),
        lambda a: 1 + _flag(a, "agrees") + _flag(a, "follows") - _flag(a, "contradicts"),
    ),
    "confidence": (("confident", "hedged"), lambda a: 1 + _flag(a, "confident") - _flag(a, "hedged")),
    "praise": (("praise",), lambda a: _count(a, "praise")),
    "evidence": (("evidence",), lambda a: _count(a, "evidence")),
    "length": (("words", "malformed"), _length),
}
"""Group → the outcome columns it reads, and its strata. Malformed clauses are counted with length."""


def strata(answers: pd.DataFrame) -> dict[str, Codes]:
    """Stratum of every answer in every group that these answers can tell: (rows,) each, 0, 1, 2, …

    Lengths are cut at the quantiles of all `answers`, so those that are to be compared are passed together.
    """
    return {name: of(answers) for name, (columns, of) in GROUPS.items() if set(columns) <= set(answers)}


class Ledger(NamedTuple):
    shares: pd.DataFrame
    """`LEDGER`."""
    gains: pd.DataFrame
    """`GAINS`."""


def ledger(found: Sequence[Path]) -> Ledger:
    """The ledgers of all paths that were scored and parsed, seeds averaged.

    Gains and shares are in π_ref s.d. of the proxy. A share's interval is over prompts (the model held fixed)
    and, with several seeds, over seeds; `fit_r2` is the share of the variance between answers to one prompt
    that the model explains.
    """
    shares, gains = [], []
    for path in found:
        books = [book for run in path.runs if (book := _run(run)) is not None]
        if not books:
            continue
        places = min(len(book[0]) for book in books)
        value = np.mean([book[0][:places] for book in books], axis=0)
        within = np.mean([book[1][:places] ** 2 for book in books], axis=0)
        between = np.var([book[0][:places] for book in books], axis=0, ddof=1) if len(books) > 1 else 0.0
        half = np.sqrt(within + Z**2 * between / len(books))
        total = pd.concat([book[2].head(places) for book in books]).groupby(level=0).mean()
        at = pd.DataFrame({**path.columns, "place": np.arange(places), "step": path.step[:places],
                           "kl": path.mean("kl")[:places]})  # fmt: skip
        at["sqrt_kl"] = np.sqrt(at["kl"].clip(lower=0))
        gains.append(pd.concat([at, total], axis=1))
        for place, source in enumerate((*books[0][3], REMAINDER)):
            low, high = value[:, place] - half[:, place], value[:, place] + half[:, place]
            shares.append(at.assign(source=source, share=value[:, place], share_lo=low, share_hi=high))
    return Ledger(LEDGER.stack(shares), GAINS.stack(gains))


def _run(run: RunCurves) -> tuple[Floats, Floats, pd.DataFrame, list[str]] | None:
    """Shares and their half-widths (places, groups + 1), the rows of `gains`, and the groups, of one run."""
    rows = _rows(run)
    if rows is None:
        return None
    codes = strata(rows)
    if not codes:
        return None
    weight, score = rows["share"].to_numpy(), rows["score"].to_numpy()
    model = PairModel(codes, score, rows["item"].to_numpy(), weight)
    table = np.stack(list(codes.values()))
    place = rows["place"].to_numpy()
    start = np.flatnonzero(place == 0)
    groups = list(codes)
    values, halves, gains = [], [], []
    for each in range(len(run.steps)):
        now = np.flatnonzero(place == each)
        if len(now) != len(start):  # a gap, or other samples than at point 0
            values.append(np.full(len(groups) + 1, np.nan))
            halves.append(values[-1])
            gains.append(dict.fromkeys((column.name for column in OF_GAIN), np.nan))
            continue
        earned = shapley(model, table[:, start], table[:, now])
        gain = score[now] - score[start]
        everything = np.vstack([earned, gain - earned.sum(axis=0)])
        sums = ClusterSums.of(everything, weight[start], rows["cluster"].to_numpy()[start])
        values.append(sums.mean())
        halves.append(Z * sums.standard_error())
        whole = float(np.average(gain, weights=weight[start]))
        alike = _within_length(rows, start, now)
        gains.append({
            "gain": whole, "explained": float(values[-1][:-1].sum()), "remainder": float(values[-1][-1]),
            "fit_r2": model.r2, "within_length": alike,
            "within_length_share": alike / whole if each and whole else np.nan,
        })  # fmt: skip
    return np.stack(values), np.stack(halves), pd.DataFrame(gains), groups


def _rows(run: RunCurves) -> pd.DataFrame | None:
    """Every scored and parsed completion of a run: its outcomes, item, cluster, weight and score in s.d.

    Sorted by place, item and sample; None where point 0 is not there or has no spread.
    """
    unit = run.unit["proxy"]
    frames = []
    for place, step in enumerate(run.steps):
        answers, score = run.answers.get(int(step)), run.scores.get(int(step), {}).get(run.run.scorer)
        if answers is not None and score is not None:
            frames.append(answers.assign(score=score / unit, place=place))
    if not frames or frames[0]["place"].iloc[0] != 0 or not unit > 0:
        return None
    rows = pd.concat(frames, ignore_index=True)
    # What natural prompts never say is no part of a gain.
    rows = rows[rows["weight"] > 0].reset_index(drop=True)
    each = rows.groupby(["place", "item_id"])["item_id"].transform("size")
    return rows.assign(
        share=rows["weight"] / each,
        item=pd.factorize(rows["item_id"])[0],
        cluster=pd.factorize(rows["cluster"])[0],
    )


def _within_length(rows: pd.DataFrame, start: Codes, now: Codes) -> float:
    """Gain among completions of similar length, weighted by where they are now; NaN if none is shared."""
    if "words" not in rows:
        return float("nan")
    words = rows["words"].to_numpy(dtype=float)
    cuts = _cuts(words[np.concatenate([start, now])])
    weight, score = rows["share"].to_numpy(), rows["score"].to_numpy()
    mass, mean = [], []
    for those in (start, now):
        code = np.searchsorted(cuts, words[those], side="right")
        mass.append(np.bincount(code, weights=weight[those], minlength=len(cuts) + 1))
        total = np.bincount(code, weights=(weight * score)[those], minlength=len(cuts) + 1)
        mean.append(total / np.where(mass[-1] > 0, mass[-1], 1))
    shared = (mass[0] > 0) & (mass[1] > 0)
    if not shared.any():
        return float("nan")
    return float(np.average(mean[1][shared] - mean[0][shared], weights=mass[1][shared]))


@once
def books(study: Study) -> Ledger:
    return ledger(paths(study))


def _last(table: pd.DataFrame) -> pd.DataFrame:
    key = ["method", "group", "proxy"]
    return table.dropna(subset="gain").groupby(key, sort=False, dropna=False).tail(1)


AT = (*PATH, Column("place", COUNT, "which point of the path, from 0"), STEP_OF, KL, SQRT_KL)
OF_GAIN = (
    Column("gain", SD, "mean proxy reward since point 0"),
    Column("explained", SD, "what the ledger's model explains of it"),
    Column("remainder", SD, "what it does not"),
    Column("fit_r2", "1", "variance between answers to one prompt that the model explains", title="fit R²"),
    Column("within_length", SD, "gain among completions of similar length"),
    Column("within_length_share", SHARE, "of the gain", title="share"),
)
LEDGER = Table(
    "behaviour_ledger",
    "What the proxy's gain was earned with: one row per path, place and source, seeds averaged.",
    (*AT, Column("source", TEXT, f"a group of features, or {REMAINDER}"),
     Column("share", SD, "its part of the gain; intervals over prompts and seeds", interval=True)),
    lambda study: books(study).shares,
)  # fmt: skip
GAINS = Table(
    "behaviour_gains",
    "The gain in proxy reward, and what of it is explained: one row per path and place.",
    (*AT, *OF_GAIN),
    lambda study: books(study).gains,
    Sheet(
        "What explains the gain in proxy reward",
        "At the last point of each path, in π_ref s.d. of the proxy. Explained: by the model of the "
        "ledger; fit: share of the variance between answers to one prompt that it explains. Within "
        "length: the gain among completions of similar length, and its share of the whole.",
        ("method", "proxy", "kl", *(column.name for column in OF_GAIN)),
        _last,
    ),
)
