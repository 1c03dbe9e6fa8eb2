"""An audit on the terminal and on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.audit.answer_shift import ARMS, SHIFT_MEASURES
from analysis.audit.reward_models import MEASURES, document
from analysis.figures.drawing.biases import draw_one
from analysis.figures.drawing.style import paper_style, save
from analysis.study.grid import interval
from training.audit.measure import Audit
from training.store.atomic import write_bytes, write_json

SHARES = "Win rate: share of questions on which the first earns more; 0.5 is unbiased. 95 % intervals."


def show_biases(audit: Audit) -> None:
    """Print a reward model's audit: win rates first, then truth against confidence."""
    rows = {row["measure"]: row for row in audit.table.to_dict("records")}
    shares = [name for name, row in rows.items() if row["unit"] == "share" and name != "cfw"]
    table = _table("bias", "win rate", "", "what over what")
    for name in shares:
        table.add_row(name, _number(rows[name]), _verdict(rows[name]), Text(MEASURES[name], style="dim"))
    margins = _table("truth against confidence", "value", "unit", "what it is")
    for name in (name for name in rows if name not in shares):
        unit = rows[name]["unit"]
        margins.add_row(name, _number(rows[name]), unit, Text(MEASURES[name], style="dim"))
    _print(audit, SHARES, table, margins)


def show_shifts(audit: Audit) -> None:
    """Print a policy's audit, one row per hint."""
    table = _table("hint", "shift (nats)", "flips", "corrections", "what is said")
    for row in audit.table.to_dict("records"):
        cells = [interval(row[m], row[f"{m}_lo"], row[f"{m}_hi"]) for m in SHIFT_MEASURES]
        table.add_row(row["arm"], *cells, Text(ARMS[row["arm"]], style="dim"))
    known, others = (int(audit.table[column].iloc[0]) for column in ("known", "others"))
    note = (
        f"Asked neutrally it prefers the right answer to {known} questions (shift and flips: towards the "
        f"wrong one) and the wrong answer to {others} (corrections: now right). 95 % intervals."
    )
    _print(audit, note, table)


def write(audit: Audit, folder: Path) -> None:
    """Leave audit.csv, audit.json (null: missing) and figure.{png,pdf,svg,csv} in `folder`."""
    write_bytes(folder / "audit.csv", audit.table.to_csv(index=False, lineterminator="\n").encode())
    content = {
        "schema": 1,
        "model": str(audit.model),
        "questions": len(audit.questions.table),
        "questions_dropped": audit.questions.dropped,
        "rows": document(audit.table),
    }
    write_json(folder / "audit.json", content)
    with paper_style():
        figure, data = draw_one(audit.table)
        save(figure, data, folder / "figure", title=f"Audit of {audit.model}", provenance=str(audit.model))
    _console().print(f"written to {folder}", markup=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=not column.startswith("what"))
    return table


def _number(row: Mapping[Any, Any]) -> str:
    return interval(row["value"], row["lo"], row["hi"])


def _verdict(row: Mapping[Any, Any]) -> str:
    """What the interval says against one half."""
    if row["lo"] > 0.5:
        return "rewards it"
    return "punishes it" if row["hi"] < 0.5 else "no bias found"


def _print(audit: Audit, note: str, *tables: Table) -> None:
    console = _console()
    dropped = "".join(f"; {count} left out: {why}" for why, count in audit.questions.dropped.items())
    console.print(
        Text(f"{audit.model}: {len(audit.questions.table)} questions{dropped}", style="bold"), soft_wrap=True
    )
    console.print(Text(note, style="dim"), soft_wrap=True)
    for table in tables:
        console.print()
        console.print(table)


def _console() -> Console:
    # Wide enough for whole rows where nobody's window sets the width.
    return Console(highlight=False, file=sys.stdout, width=None if sys.stdout.isatty() else 110)
