"""How a table for people is written: rounded values, intervals beside them, a dash where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "–"


@dataclass(frozen=True)
class Column:
    title: str
    kind: str = "number"
    """CSS class: "number", "text" or "said" (a completion)."""


@dataclass(frozen=True)
class Grid:
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def number(value: Any, digits: int = 2, *, sign: bool = False) -> str:
    """A rounded number with a true minus sign; a dash where it is missing."""
    if value is None or pd.isna(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = round(float(value), digits) + 0.0  # + 0.0: there is no minus zero
    return f"{rounded:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def interval(value: Any, low: Any, high: Any, digits: int = 2, *, sign: bool = False) -> str:
    """ "0.50 [0.45, 0.55]", or the value alone where there is no interval."""
    shown = number(value, digits, sign=sign)
    if shown == MISSING or pd.isna(low) or pd.isna(high):
        return shown
    # A line may break before the bracket and never inside it.
    return f"{shown} [{number(low, digits)},\N{NO-BREAK SPACE}{number(high, digits)}]"


def whole(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) else f"{int(value):,}"


def said(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) or value == "" else str(value)


Cell = Callable[[Mapping[Any, Any]], str]


def grid(table: pd.DataFrame, title: str, caption: str, cells: Mapping[str, tuple[str, Cell]]) -> Grid | None:
    """``cells``: column title -> (kind, how a row's dictionary is written). None where the table has no rows.

    A column without a single value is left out.
    """
    if table.empty:
        return None
    records = table.to_dict("records")
    written = {name: [write(row) for row in records] for name, (_, write) in cells.items()}
    kept = {name: column for name, column in written.items() if set(column) != {MISSING}}
    columns = [Column(name, cells[name][0]) for name in kept]
    return Grid(title, caption, columns, list(zip(*kept.values(), strict=True)))


def value_cell(name: str, digits: int = 2) -> tuple[str, Cell]:
    return "number", lambda row: number(row[name], digits)


def interval_cell(name: str, digits: int = 2) -> tuple[str, Cell]:
    return "number", lambda row: interval(row[name], row.get(f"{name}_lo"), row.get(f"{name}_hi"), digits)


def count_cell(name: str) -> tuple[str, Cell]:
    return "number", lambda row: whole(row[name])


def text_cell(name: str) -> tuple[str, Cell]:
    return "text", lambda row: said(row[name])


def yes_cell(name: str) -> tuple[str, Cell]:
    return (
        "text",
        lambda row: MISSING if row[name] is None or pd.isna(row[name]) else "yes" if row[name] else "no",
    )
