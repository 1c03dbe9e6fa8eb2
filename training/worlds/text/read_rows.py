"""Rows of text from a local file or a Hugging Face dataset, with errors that name the place."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from training.errors import UserError, did_you_mean

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")


@dataclass(frozen=True)
class Table:
    """What was read from `name`. The frame's index counts lines (JSONL) or rows (otherwise) from 1."""

    name: str
    unit: Literal["line", "row"]
    frame: pd.DataFrame

    def where(self, number: int) -> str:
        """How a person finds line or row `number`."""
        return f"{self.name}:{number}" if self.unit == "line" else f"{self.name}, row {number}"

    def text(self, column: str, key: str) -> pd.Series:
        """One column as strings, nulls as "". `key` is the config key that asked for it.

        Raises UserError if there is no such column (with the nearest name) or a cell is not text.
        """
        if column not in self.frame:
            columns = [str(name) for name in self.frame.columns]
            raise UserError(
                f"{key}: {self.name} has no column {column!r}; it has {', '.join(columns)}"
                + did_you_mean(column, columns)
            )
        cells = self.frame[column]
        blank = cells.isna()
        is_text = cells.map(lambda cell: isinstance(cell, str)) | blank
        if not is_text.all():
            number = int(cells.index[~is_text][0])
            raise UserError(
                f"{self.where(number)}: column {column!r} ({key}) has a cell of type "
                f"{type(cells.loc[number]).__name__}; every cell must be text"
            )
        return cells.astype(object).where(~blank, "")


@dataclass(frozen=True)
class Ledger:
    """What was dropped from a table: {split or "all": {reason: {"rows": how many, "first": where}}}."""

    table: Table
    dropped: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def drop(self, rows: pd.DataFrame, unwanted: pd.Series, reason: str, split: str = "all") -> pd.DataFrame:
        """The rows that are not `unwanted`, with the others on record."""
        if unwanted.any():
            numbers = rows.index[unwanted]
            self.dropped.setdefault(split, {})[reason] = {
                "rows": len(numbers),
                "first": f"{self.table.unit} {numbers.min()}",
            }
        return rows[~unwanted]

    def summary(self, split: str = "all") -> str:
        """What became of the table's rows on their way into `split`."""
        reasons = self.dropped.get("all", {}) | self.dropped.get(split, {})
        clauses = [f"{d['rows']} because {reason} (first: {d['first']})" for reason, d in reasons.items()]
        return f"of {len(self.table.frame)} rows, dropped were {'; '.join(clauses) or 'none'}"


@dataclass(frozen=True)
class HubSelection:
    """Which part of a Hugging Face dataset is meant; None is the dataset's own default."""

    split: str | None
    config_name: str | None
    data_dir: str | None
    revision: str | None


def read_table(path: str, selection: HubSelection) -> Table:
    """Read the local file at `path` or, if `path` does not look like a file, the dataset of that id.

    Raises UserError for anything missing, unreadable, malformed or empty, and for a `selection` on a local
    file, where it would silently do nothing.
    """
    file = Path(path).expanduser()
    table = _read_local(file, path, selection) if is_local(path) else _read_hub(path, selection)
    if table.frame.empty:
        raise UserError(f"world.path: {table.name} has no rows")
    return table


def is_local(path: str) -> bool:
    """Whether a path is one of this machine rather than an id of the Hugging Face Hub."""
    written_so = path.endswith(SUFFIXES) or path.startswith(("/", "./", "../", "~"))
    return written_so or Path(path).expanduser().exists()


def is_unicode(text: str) -> bool:
    """False for text with half a surrogate pair, which JSON can spell but no file or tokenizer can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_local(file: Path, path: str, selection: HubSelection) -> Table:
    pointless = [name for name, value in vars(selection).items() if value is not None]
    if pointless:
        raise UserError(f"world.{pointless[0]} is for Hugging Face datasets, but {path} is a local file")
    if not file.exists():
        siblings = sorted(p.name for p in file.parent.glob("*")) if file.parent.is_dir() else []
        raise UserError(f"world.path: there is no file {path}{did_you_mean(file.name, siblings)}")
    if not file.is_file() or not file.name.endswith(SUFFIXES):
        raise UserError(f"world.path: {path} cannot be read; name a file that ends in {', '.join(SUFFIXES)}")
    try:
        if file.name.endswith((".jsonl", ".jsonl.gz")):
            return Table(path, "line", _read_jsonl(file, path))
        if file.name.endswith(".csv"):
            frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        else:
            frame = pd.read_parquet(file)
    except (ValueError, OSError, EOFError) as error:  # what pandas, pyarrow, gzip and decoding raise
        raise UserError(
            f"world.path: {path} is not a valid {file.suffix} file: {_first_line(error)}"
        ) from error
    return Table(path, "row", _count_from_one(frame))


def _read_jsonl(file: Path, name: str) -> pd.DataFrame:
    """One JSON object per line; blank lines are allowed. The index is the line number."""
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.rstrip())
            except json.JSONDecodeError as error:
                raise UserError(
                    f"{name}:{number}: not JSON ({error.msg} at column {error.colno}); "
                    "each line must be one JSON object"
                ) from error
            if not isinstance(record, dict):
                raise UserError(
                    f"{name}:{number}: a JSON {type(record).__name__}; each line must be one JSON object"
                )
            records.append(record)
            numbers.append(number)
    return pd.DataFrame(records, index=pd.Index(numbers, dtype=int), dtype=object)


def _read_hub(path: str, selection: HubSelection) -> Table:
    import datasets

    split = selection.split or "train"
    try:
        dataset = datasets.load_dataset(
            path,
            name=selection.config_name,
            data_dir=selection.data_dir,
            split=split,
            revision=selection.revision,
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "TRUE", "YES", "ON"}
        searched = (
            "HF_HUB_OFFLINE is set, so only this machine's cache was searched; unset it to download"
            if offline
            else "check the id and the connection (HF_HUB_OFFLINE=1 uses this machine's cache alone)"
        )
        raise UserError(
            f"world.path: {path!r} is no local file, and as a Hugging Face dataset it could not be loaded: "
            f"{_first_line(error)}. {searched}, or give a local file: world.path=pairs.jsonl"
        ) from error
    return Table(f"{path} [{split}]", "row", _count_from_one(dataset.to_pandas()))


def _count_from_one(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
