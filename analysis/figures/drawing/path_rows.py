"""Shaping the points of path runs for drawing: long rows, one line per seed, and the mean over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.figures.drawing.panels import FEW
from analysis.figures.drawing.style import Look
from analysis.tables.humps import ENDS

MEAN = "mean of seeds"
"""``run_id`` of the rows that average the seeds of one proxy."""
CASE = ["method", "proxy"]
"""A curve belongs to one method and one proxy; its seeds are its runs."""
COLUMNS = [*CASE, "proxy_pairs", "run_id", "step", "kl", "distance", "quantity", "value", "lo", "hi"]


def path_points(points: pd.DataFrame) -> pd.DataFrame:
    """The points of path runs in the order they were passed: these trace a curve, other controls do not."""
    return points[points["control"] == "path"].sort_values(["proxy", "run_id", "step"], kind="stable")


def long_rows(points: pd.DataFrame, quantities: Sequence[str]) -> pd.DataFrame:
    """One row per point and quantity (`COLUMNS`); ``lo`` and ``hi``: its 95 % interval, if it has one."""
    blocks = []
    for quantity in quantities:
        block = points[[*CASE, "proxy_pairs", "run_id", "step", "kl"]].copy()
        block["distance"] = np.sqrt(block["kl"].clip(lower=0))
        block["quantity"] = quantity
        block["value"] = points[quantity].astype(float)
        for side in ("lo", "hi"):
            name = f"{quantity}_{side}"
            block[side] = points[name].astype(float) if name in points else np.nan
        blocks.append(block)
    return pd.concat(blocks, ignore_index=True)[COLUMNS]


def with_seed_means(rows: pd.DataFrame, complete: Sequence[str]) -> pd.DataFrame:
    """Append, per method, proxy and quantity with two seeds or more, the mean over seeds (``run_id`` =
    `MEAN`).

    Path runs put their points at the same crossings of the KL, so the k-th point of each seed is the same
    place: KL, step and value are averaged there. Only runs in ``complete`` count, and only places that all of
    them reached: the mean never jumps because a seed left it. A missing value in one seed leaves a gap in the
    mean.

    Its interval is half-width sqrt(mean(h²) + (1.96 s)²/k) with h the seeds' own half-widths and s their
    spread: all seeds answer the same prompts, so averaging k of them does not shrink the error that the
    prompts bring.
    """
    blocks = [rows]
    counted = rows[rows["run_id"].isin(list(complete))]
    for (method, proxy, quantity), group in counted.groupby([*CASE, "quantity"], sort=False):
        runs = group["run_id"].nunique()
        if runs < 2:
            continue
        place = group.groupby("run_id").cumcount()
        group = group.assign(half=(group["hi"] - group["lo"]) / 2)
        at_place = group.groupby(place)
        average = at_place[["proxy_pairs", "step", "kl", "value"]].mean(skipna=False)
        within = at_place["half"].agg(lambda half: np.sqrt((half**2).mean()))
        half = np.sqrt(within**2 + (1.96 * at_place["value"].std()) ** 2 / runs)
        mean = average.assign(lo=average["value"] - half, hi=average["value"] + half)
        mean = mean[at_place.size() == runs]
        mean = mean.assign(method=str(method), proxy=str(proxy), quantity=str(quantity), run_id=MEAN)
        mean["distance"] = np.sqrt(mean["kl"].clip(lower=0))
        blocks.append(mean.reindex(columns=COLUMNS))
    return pd.concat(blocks, ignore_index=True)


def headline(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the one line per method, proxy and quantity that a reader follows: the seed mean, else the
    only seed.

    Where seeds failed and a single one is left, it is that one; with several and no common place, the first
    by id.
    """
    chosen = []
    for _, group in rows.groupby([*CASE, "quantity"], sort=False):
        mean = group[group["run_id"] == MEAN]
        chosen.append(mean if len(mean) else group[group["run_id"] == group["run_id"].min()])
    return pd.concat(chosen) if chosen else rows


@dataclass(frozen=True)
class Peak:
    """The highest place of a headline curve."""

    kl: float
    distance: float
    step: float
    value: float
    turned: bool
    """Whether the curve was measured on both sides: at an end it may not have stopped to rise."""


def peak(rows: pd.DataFrame, quantity: str) -> Peak | None:
    """The highest point of ``quantity`` in the headline curve of one case; None where it has no values."""
    mine = headline(rows[rows["quantity"] == quantity])
    values = mine.loc[mine["value"].notna()].reset_index(drop=True)
    if values.empty:
        return None
    place = int(values["value"].to_numpy(dtype=float).argmax())
    row = values.iloc[place]
    at = {name: float(row[name]) for name in ("kl", "distance", "step", "value")}
    return Peak(**at, turned=0 < place < len(values) - 1)


@dataclass(frozen=True)
class Case:
    """The rows of one method and one proxy, and what to call them."""

    method: str
    proxy: str
    title: str
    """Two lines: the method as people call it, and what it was optimised against."""
    rows: pd.DataFrame


def turning_point(case: Case, humps: pd.DataFrame) -> Peak | None:
    """Where the gold curve of one case is highest, if the table of humps shows that it rose and fell."""
    if humps.empty:
        return None
    mine = humps[(humps["way"] == case.method) & (humps["proxy"] == case.proxy) & (humps["method"] != ENDS)]
    return peak(case.rows, "gold") if mine.loc[mine["score"] == "gold", "hump"].any() else None


def cases(rows: pd.DataFrame, looks: Mapping[str, Look]) -> list[Case]:
    """Every case of ``rows``, the least data first: there the strongest Goodhart effect is expected."""
    place = {method: place for place, method in enumerate(dict.fromkeys(rows["method"]))}
    order = rows.drop_duplicates(CASE).assign(place=rows["method"].map(place))
    order = order.sort_values(["proxy_pairs", "proxy", "place"])
    found = []
    for method, proxy, pairs in order[[*CASE, "proxy_pairs"]].itertuples(index=False):
        title = f"{looks[method].label}\n{proxy_title(proxy, pairs, len(order))}"
        mine = rows[(rows["method"] == method) & (rows["proxy"] == proxy)]
        found.append(Case(str(method), str(proxy), title, mine))
    return found


def proxy_title(proxy: str, pairs: float, panels: int) -> str:
    """What stands above a panel; how much data the proxy had, where `panels` leave room for it."""
    return f"{proxy} proxy, {int(pairs):,} pairs" if panels <= FEW else f"{proxy} proxy"


def by_pairs(rows: pd.DataFrame) -> dict[str, float]:
    """Proxy -> pairs, the least data first."""
    order = rows.sort_values("proxy_pairs", kind="stable").drop_duplicates("proxy")
    return dict(zip(order["proxy"], order["proxy_pairs"], strict=True))
