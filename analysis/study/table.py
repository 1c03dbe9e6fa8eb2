"""What a table is: its columns, each stated once, and the function of a study that computes it.

The same statement orders the CSV file, heads and formats the report, and documents the table
(`docs/records.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.study.grid import MISSING, Grid, Heading, interval, number, said, whole, yes_or_no
from analysis.study.study import Study, once

TEXT, YES, COUNT = "text", "yes or no", "count"
NATS, ROOT_NATS, SD, SHARE, TOKENS, STEP = "nats", "√nats", "π_ref s.d.", "share", "tokens", "step"

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Column:
    """One column, with those of its interval and its standard error."""

    name: str
    unit: str
    words: str
    interval: bool = False
    """Whether `<name>_lo` and `<name>_hi`, a 95 % interval, stand beside it."""
    error: bool = False
    """Whether `<name>_se`, its standard error, stands beside it."""
    title: str = ""
    """How the report heads it; by default its name."""
    digits: int = 2
    show: Callable[[Row], str] | None = None
    """How the report writes it, from the whole row; by default as its unit says."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the CSV file."""
        ends = ("", *(("_se",) if self.error else ()), *(("_lo", "_hi") if self.interval else ()))
        return tuple(f"{self.name}{end}" for end in ends)

    @property
    def heading(self) -> Heading:
        return Heading(
            self.title or self.name.replace("_", " "), "text" if self.unit in (TEXT, YES) else "number"
        )

    def written(self, row: Row) -> str:
        """Its value in a row of the report."""
        value = row[self.name]
        if self.show is not None:
            return self.show(row)
        if self.unit in (TEXT, YES, COUNT, STEP):
            return {TEXT: said, YES: yes_or_no}.get(self.unit, whole)(value)
        low, high = (row[f"{self.name}_lo"], row[f"{self.name}_hi"]) if self.interval else (None, None)
        return interval(value, low, high, self.digits)


@dataclass(frozen=True)
class Sheet:
    """How the report shows a table: some of its columns, and of its rows."""

    title: str
    caption: str
    columns: Sequence[str | Column]
    """Names of the table's columns, or columns that `rows` adds."""
    rows: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table

    def grids(self, table: pd.DataFrame, spec: Table) -> list[Grid]:
        """None where no row is left; a column without a single value is left out."""
        rows = self.rows(table).to_dict("records") if len(table) else []
        if not rows:
            return []
        named = {column.name: column for column in spec.columns}
        columns = [named[each] if isinstance(each, str) else each for each in self.columns]
        written = {column: [column.written(row) for row in rows] for column in columns}
        kept = {column: cells for column, cells in written.items() if set(cells) != {MISSING}}
        headings = [column.heading for column in kept]
        return [Grid(self.title, self.caption, headings, list(zip(*kept.values(), strict=True)))]


@dataclass(frozen=True, eq=False)
class Table:
    """One table of an experiment."""

    name: str
    words: str
    """What one row is, and what a reader must know."""
    stated: tuple[Column, ...] | Callable[[], tuple[Column, ...]]
    """Its columns; a function where they depend on what is registered."""
    compute: Callable[[Study], pd.DataFrame | Iterable[pd.DataFrame]]
    """The rows, at once or in blocks. Without rows columns may be missing; else all of `stated` are there."""
    sheet: Sheet | Callable[[Study], Sequence[Grid]] | None = None
    """How the report shows it; None: not at all."""

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.stated() if callable(self.stated) else self.stated

    @property
    def names(self) -> list[str]:
        """Its columns as the CSV file has them."""
        return [name for column in self.columns for name in column.names]

    def of(self, study: Study) -> pd.DataFrame:
        """The table, computed once."""
        return study.remember(self.read)

    def read(self, study: Study) -> pd.DataFrame:
        found = self.compute(study)
        frame = found if isinstance(found, pd.DataFrame) else self.stack(found)
        return frame[self.names] if len(frame) or set(self.names) <= set(frame) else self.empty()

    def empty(self) -> pd.DataFrame:
        return pd.DataFrame(columns=self.names)

    def stack(self, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
        """All rows of `frames`; the columns are there even where no row is."""
        full = [frame for frame in frames if len(frame)]
        return pd.concat(full, ignore_index=True)[self.names] if full else self.empty()

    def grids(self, study: Study) -> list[Grid]:
        """What the report shows of it."""
        if self.sheet is None:
            return []
        return (
            self.sheet.grids(self.of(study), self)
            if isinstance(self.sheet, Sheet)
            else list(self.sheet(study))
        )


def intervals(*names: str, unit: str, words: str) -> tuple[Column, ...]:
    """Several columns of one kind, each with its interval; `words` has {} for the name."""
    return tuple(Column(name, unit, words.format(name.replace("_", " ")), interval=True) for name in names)


__all__ = ["COUNT", "NATS", "ROOT_NATS", "SD", "SHARE", "STEP", "TEXT", "TOKENS", "YES", "Column", "Sheet",
           "Study", "Table", "intervals", "number", "once"]  # fmt: skip
