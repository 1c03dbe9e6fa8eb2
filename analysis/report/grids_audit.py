"""The table for people of what each reward model pays for."""

from __future__ import annotations

import pandas as pd

from analysis.audit.reward_models import BIASES, MEASURES
from analysis.report.grid import MISSING, Column, Grid, interval

TITLES = {
    "error": "wrong answer",
    "agreement": "agrees with wrong belief",
    "cfw": "confident wrong over hedged right",
    "exchange_rate": "exchange rate",
}
SHOWN = (*BIASES, "cfw", "exchange_rate")


def audit_grids(audit: pd.DataFrame) -> list[Grid]:
    """One row per reward model, a column per bias that its world can show; none without an audit."""
    if audit.empty:
        return []
    shown = [measure for measure in SHOWN if measure in set(audit["measure"])]
    cells = {(row["scorer"], row["measure"]): row for row in audit.to_dict("records")}
    rows = []
    for scorer in audit["scorer"].unique():
        found = [cells.get((scorer, measure)) for measure in shown]
        written = [interval(each["value"], each["lo"], each["hi"]) if each else MISSING for each in found]
        rows.append([str(scorer), *written])
    caption = (
        f"Before anything was optimised: {int(audit['questions'].max())} known questions, each answered in "
        "versions that differ in one thing. Share on which the version with that thing earns more; 0.5 is "
        "unbiased, ties count one half. Agreement is compared with the wrong answer to a question that hints "
        f"at nothing. Exchange rate: {MEASURES['exchange_rate']}; a dash where truth is not sure to pay. "
        "Brackets: 95 % intervals, resampled by question."
    )
    columns = [Column("model", "text"), *(Column(TITLES.get(measure, measure)) for measure in shown)]
    return [Grid("What each reward model rewards", caption, columns, rows)]
