"""Tables for people about behaviours along KL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.behaviour.tilt import TILT_COLUMNS
from analysis.report.grid import (
    MISSING,
    Column,
    Grid,
    count_cell,
    grid,
    interval_cell,
    number,
    said,
    text_cell,
    value_cell,
    yes_cell,
)
from analysis.tables.tables import Tables


def behaviour_grids(tables: Tables) -> list[Grid]:
    """Onsets, predictions, tilts and gains; a table without rows is left out."""
    behaviour = tables.behaviour
    grids = [
        grid(
            behaviour.onsets.assign(path=_path(behaviour.onsets)),
            "Which behaviour sets in when",
            "Rates of the reference policy and of the last point. Onset: the first point whose change in "
            "Cohen's h is above zero with all behaviours and points of the path taken together (95 %); KL "
            "in nats. Leads: the onset comes before gold is highest. Inert: the rate stays within 2 % of 0 "
            "or of 1 throughout.",
            {
                "path": text_cell("path"),
                "behaviour": text_cell("label"),
                "π_ref": value_cell("rate_reference"),
                "last": value_cell("rate_last"),
                "onset at KL": value_cell("onset_kl"),
                "h there": value_cell("h"),
                "gold highest at KL": value_cell("gold_peak_kl"),
                "leads gold": yes_cell("leads_gold_peak"),
                "inert": text_cell("inert"),
            },
        ),
        grid(
            behaviour.calibration.assign(at=behaviour.calibration["kl"].map(_at)),
            "How well base samples foretold behaviour",
            "Over all proxies and behaviours. Sign: how often the covariance of behaviour and reward under "
            "the reference policy has the sign of the measured change, among changes whose interval "
            "excludes zero. Slope: measured over predicted change, 1 where training only reweights; its "
            "interval draws prompts and proxies anew. Residual: root mean square of measured minus "
            "predicted change.",
            {
                "optimised by": text_cell("name"),
                "at KL": text_cell("at"),
                "changes": count_cell("pairs"),
                "proxies": count_cell("proxies"),
                "sign right": ("number", _hits),
                "slope": interval_cell("slope"),
                "residual": value_cell("residual_rms", 3),
            },
        ),
        grid(
            behaviour.predictions[behaviour.predictions["furthest"].eq(True)],
            "Predicted and measured changes",
            "Of each behaviour's rate, at the largest KL of a grid of doublings that path and pool both "
            "reach. Covariance with the reward in its π_ref s.d. Brackets: 95 % intervals over prompts.",
            {
                "optimised by": text_cell("name"),
                "proxy": text_cell("proxy"),
                "behaviour": text_cell("label"),
                "KL": value_cell("kl"),
                "covariance": interval_cell("covariance", 3),
                "predicted": interval_cell("predicted"),
                "measured": interval_cell("measured"),
                "residual": interval_cell("residual"),
                "sign right": yes_cell("sign_right"),
            },
        ),
        _tilts(behaviour.tilts),
        grid(
            _last(behaviour.gains),
            "What explains the gain in proxy reward",
            "At the last point of each path, in π_ref s.d. of the proxy. Explained: by the model of the "
            "ledger; fit: share of the variance between answers to one prompt that it explains. Within "
            "length: the gain among completions of similar length, and its share of the whole.",
            {
                "path": text_cell("path"),
                "KL": value_cell("kl"),
                "gain": value_cell("gain"),
                "explained": value_cell("explained"),
                "remainder": value_cell("remainder"),
                "fit R²": value_cell("fit_r2"),
                "within length": value_cell("within_length"),
                "share": value_cell("within_length_share"),
            },
        ),
    ]
    return [grid for grid in grids if grid is not None]


def browser_grids(table: pd.DataFrame) -> list[tuple[str, list[Grid]]]:
    """(heading, one grid per point) for every proxy of the browser."""
    found = []
    columns = [Column("does", "text"), Column("of the widest"), Column("of all"), Column("prompt", "said"),
               Column("completion", "said"), Column("proxy"), Column("gold"), Column("gap")]  # fmt: skip
    for (proxy, run_id), rows in table.groupby(["proxy", "run_id"], sort=False):
        grids = []
        for (step, kl), point in rows.groupby(["step", "kl"], sort=True):
            lines = [
                [row["does"], f"{row['among_widest']} of {row['widest']}",
                 f"{100 * row['share_of_all']:.0f} %", row["prompt"], said(row["completion"]),
                 *(number(row[name], sign=True) for name in ("proxy_score", "gold", "gap"))]
                for row in point.to_dict("records")
            ]  # fmt: skip
            commonest = point.iloc[0]["does"]
            title = f"KL {number(kl)} nats, step {step}: most often {commonest}"
            grids.append(Grid(title, "", columns, lines))
        found.append((f"Against the {proxy} proxy (run {run_id})", grids))
    return found


def _path(table: pd.DataFrame) -> pd.Series:
    return table["method"].astype(str) + ", " + table["proxy"].astype(str)


def _at(kl: float) -> str:
    return "largest of each" if np.isnan(kl) else f"{kl:g}"


def _hits(row: Mapping[Any, Any]) -> str:
    return MISSING if not row["changed"] else f"{row['sign_hits']} of {row['changed']}"


def _last(table: pd.DataFrame) -> pd.DataFrame:
    rows = table.dropna(subset="gain").groupby(["method", "group", "proxy"], sort=False, dropna=False).tail(1)
    return rows.assign(path=_path(rows))


def _tilts(table: pd.DataFrame) -> Grid | None:
    """First and last place of each side of every path; a side without facts is said to have none."""
    if table.empty:
        return None
    key = ["method", "group", "proxy", "tilt"]
    ends = table.groupby(key, sort=False, dropna=False)
    first = ends.head(1).set_index(key)
    last = ends.tail(1).set_index(key).reindex(first.index)
    rows = first.assign(path=_path(first.reset_index()).to_numpy()).reset_index()
    for name in (*TILT_COLUMNS[-3:], "kl"):
        rows[name.replace("rate", "last")] = last[name].to_numpy()
    return grid(
        rows.assign(start=first["rate"].to_numpy(), start_lo=first["rate_lo"].to_numpy(),
                    start_hi=first["rate_hi"].to_numpy()),
        "Sycophancy by what the proxy prefers",
        "Facts split by the sign of the proxy's tilt: its mean reward, over samples of the reference "
        "policy, of answers that give in minus that of all others on the same prompt. Only facts that the "
        "pool asks about with a wrong belief are counted. Share of prompts on which the policy gives in, "
        "at the start and at the end.",
        {
            "path": text_cell("path"),
            "proxy prefers": text_cell("tilt"),
            "facts": count_cell("facts"),
            "π_ref": interval_cell("start"),
            "last point": interval_cell("last"),
            "at KL": value_cell("kl"),
        },
    )  # fmt: skip
