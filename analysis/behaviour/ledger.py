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

from analysis.behaviour.rates import PATH_COLUMNS, Path
from analysis.estimators.bootstrap import ClusterSums
from analysis.estimators.shapley import PairModel, shapley
from analysis.probes.base import Z
from analysis.records.run_curves import RunCurves

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

MOST = 2
"""Counts of clauses from here on are one stratum."""
LENGTH_BINS = 6
REMAINDER = "remainder"
LEDGER_COLUMNS = (
    *PATH_COLUMNS,
    *("place", "step", "kl", "sqrt_kl", "source", "share", "share_lo", "share_hi"),
)
GAIN_COLUMNS = (
    *PATH_COLUMNS,
    *("place", "step", "kl", "sqrt_kl", "gain", "explained", "remainder", "fit_r2"),
    *("within_length", "within_length_share"),
)


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
    """`LEDGER_COLUMNS`: one row per path, place and source (the groups, then the remainder)."""
    gains: pd.DataFrame
    """`GAIN_COLUMNS`: one row per path and place."""


def ledger(paths: Sequence[Path]) -> Ledger:
    """The ledgers of all paths that were scored and parsed, seeds averaged.

    Gains and shares are in π_ref s.d. of the proxy. A share's interval is over prompts (the model held fixed)
    and, with several seeds, over seeds; `fit_r2` is the share of the variance between answers to one prompt
    that the model explains.
    """
    shares, gains = [], []
    for path in paths:
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
        gains.append(pd.concat([at, total], axis=1)[list(GAIN_COLUMNS)])
        for place, source in enumerate((*books[0][3], REMAINDER)):
            low, high = value[:, place] - half[:, place], value[:, place] + half[:, place]
            shares.append(at.assign(source=source, share=value[:, place], share_lo=low, share_hi=high))
    return Ledger(_stack(shares, LEDGER_COLUMNS), _stack(gains, GAIN_COLUMNS))


def _stack(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(frames, ignore_index=True)[list(columns)]


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
            gains.append(dict.fromkeys(GAIN_COLUMNS[-6:], np.nan))
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
