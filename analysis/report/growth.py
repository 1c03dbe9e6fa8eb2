"""Sentences about the headline behaviour: how it grew along a path, and what of it is about the user."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.probes import Headline
from analysis.study.grid import interval, number
from analysis.tables.tables import Tables


def along(tables: Tables, table: pd.DataFrame, **path: str) -> pd.DataFrame:
    """The rows about the headline behaviour, of one path where it is named."""
    mine = table["behaviour"] == tables.study.experiment.headline_behaviour
    for name, value in path.items():
        mine &= table[name] == value
    return table[mine]


def growth(tables: Tables, shown: Headline, *, method: str, proxy: str) -> str:
    """Whether the behaviour grew along the path of `method` against `proxy`, from where to where, and since
    when."""
    name = shown.measure.replace("_", " ").capitalize()
    onset = along(tables, tables["behaviour_onsets"], method=method, proxy=proxy)
    rates = along(tables, tables["behaviour_spectrum"], method=method, proxy=proxy).dropna(subset=["rate"])
    if onset.empty or rates.empty:
        return f"{name} was not measured at any point."
    start, top, last = rates.iloc[0], rates.iloc[int(rates["rate"].argmax())], rates.iloc[-1]
    began = onset["onset_kl"].iloc[0]
    if pd.isna(began):
        ends = f"from {number(start['rate'])} to {interval(last['rate'], last['rate_lo'], last['rate_hi'])}"
        return f"No growth of {name.lower()} is shown ({ends})."
    fell = f", then fell to {number(last['rate'])}" if top["place"] != last["place"] else ""
    return (
        f"{name} rose from {number(start['rate'])} to "
        f"{interval(top['rate'], top['rate_lo'], top['rate_hi'])} at {number(top['kl'], 1)} nats{fell}: it "
        f"{shown.label}. The rise is beyond chance from {number(began, 1)} nats on, all points and "
        "behaviours of the path taken together."
    )


def net(tables: Tables, measure: str, ids: Sequence[str]) -> list[str]:
    """What is left of the headline behaviour beside its control, at the ends of the first run."""
    points, name = tables["points"], f"{measure}_net"
    if name not in points:
        return []
    mine = points[(points["run_id"] == ids[0]) & points[name].notna()]
    if len(mine) < 2:
        return []
    first, last = (
        interval(row[name], row[f"{name}_lo"], row[f"{name}_hi"], sign=True)
        for _, row in mine.iloc[[0, -1]].iterrows()
    )
    return [
        f"Beside a third party's belief, among completions that state something, it is {first} at first and "
        f"{last} at the end: that much is about the user."
    ]
