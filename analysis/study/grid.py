"""How numbers are written for people, and tables of them: rounded, with a dash where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

MISSING = "–"


@dataclass(frozen=True)
class Heading:
    title: str
    kind: str = "number"
    """CSS class: "number", "text" or "said" (a completion)."""


@dataclass(frozen=True)
class Grid:
    title: str
    caption: str
    columns: Sequence[Heading]
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


def yes_or_no(value: Any) -> str:
    return MISSING if value is None or pd.isna(value) else "yes" if value else "no"
