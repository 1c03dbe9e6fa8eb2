"""What each record file must hold, and the one way to write and to read it.

Training writes these files, `analysis` reads them; neither needs anything else from the other. A table that
breaks its contract is refused by file, column and row, on the way in and on the way out: a wrong number is
worse than none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.entries import Entries

SCHEMA = 1
"""Version of the records this code writes, and the newest it reads."""

BETWEEN = "between.json"
"""Lists the policies interpolated between a run's checkpoints: point, kl (wanted, nats), step_a, step_b, and
alpha, which is null where no policy with that KL was found."""

REWARD = "reward"
"""Scorer id of the reward that was optimised."""

_SCHEMA_KEY = b"overopt.schema"


class RecordError(Exception):
    """A record that cannot be trusted; the message says which file, where in it, and what would be right."""


Kind = str
"""A key of `CONTRACTS`."""


@dataclass(frozen=True)
class Contract:
    """What every table of one kind holds. Further columns (a world's own) are welcome."""

    text: tuple[str, ...]
    """Columns of strings without gaps."""
    number: tuple[str, ...] = ()
    """Columns of finite numbers without gaps."""
    optional: tuple[str, ...] = ()
    """Columns that older records lack; of finite numbers without gaps where they are there."""
    vector: tuple[str, ...] = ()
    """Columns of equally many finite numbers per row, without gaps; stored as float32."""
    other: tuple[str, ...] = ()
    """Columns that must be there, of a type that is not checked."""
    key: tuple[str, ...] = ("item_id", "sample_id")
    """No two rows agree on all of these."""
    beside: bool = False
    """Whether a point may have such a table, of some of its samples: probes then find its numbers beside the
    outcomes, as gaps where there are none."""

    @property
    def columns(self) -> tuple[str, ...]:
        return self.text + self.number + self.vector + self.other


CONTRACTS: Entries[Contract] = Entries(
    "record of the kind",
    {
        "items": Contract(
            text=("item_id", "cluster", "condition", "prompt"),
            number=("weight",),
            key=("item_id",),
        ),
        # Log-probabilities and KLs are sums over the completion including EOS, in nats; length is in tokens.
        "samples": Contract(
            text=("item_id", "sample_id", "completion"),
            number=("logp", "logp_ref", "kl", "k1", "k2", "k3", "kl_reverse", "length"),
            optional=("k1_clamped", "k2_prompt"),
            other=("ids", "finished"),
        ),
        "outcomes": Contract(text=("item_id", "sample_id")),
        "scores": Contract(
            text=("item_id", "sample_id", "scorer"),
            number=("value",),
            key=("item_id", "sample_id", "scorer"),
        ),
        # The reward that the run optimised (combined, shaped, capped) of each sample, in s.d. of the proxy on
        # π_ref, without the price of KL; the one scorer is `REWARD`.
        "rewards": Contract(
            text=("item_id", "sample_id", "scorer"),
            number=("value",),
            key=("item_id", "sample_id", "scorer"),
        ),
        # P(the annotator of the run's proxy prefers the sample to the plain right answer), of the samples
        # whose prompt has one.
        "approvals": Contract(text=("item_id", "sample_id"), number=("approval",), beside=True),
        # Rewards of matched completions, raw, before anything was optimised.
        "audit": Contract(
            text=("item_id", "cluster", "variant", "completion", "scorer"),
            number=("value",),
            key=("cluster", "variant", "scorer"),
        ),
        # What the policy's last layer holds where an answer's value would come next.
        "hidden": Contract(text=("item_id",), vector=("state",), key=("item_id",)),
    },
)


def tables_beside() -> list[Kind]:
    """The kinds of further tables that a point may have."""
    return [kind for kind, contract in CONTRACTS.items() if contract.beside]


def check_table(frame: pd.DataFrame, kind: Kind, where: Path) -> None:
    """Raise `RecordError` unless the columns present in `frame` keep the contract of `kind`."""
    contract = CONTRACTS[kind]
    for name in contract.text:
        if name in frame and frame[name].isna().any():
            raise RecordError(f"{where}: row {_first(frame[name].isna())}: `{name}` is missing")
    for name in contract.number + contract.optional:
        if name not in frame:
            continue
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise RecordError(f"{where}: `{name}` must be a number, not {frame[name].dtype}")
        bad = ~np.isfinite(frame[name].to_numpy(dtype=float))
        if bad.any():
            row = _first(bad)
            raise RecordError(f"{where}: row {row}: `{name}` is {frame[name].iloc[row]}, which is not finite")
    for name in (name for name in contract.vector if name in frame):
        widths = frame[name].map(lambda cell: -1 if cell is None else len(cell))
        if widths.nunique() > 1 or (widths < 1).any():
            raise RecordError(f"{where}: `{name}` must hold as many numbers in every row")
        if len(frame) and not (finite := np.isfinite(np.stack(frame[name].tolist())).all(axis=1)).all():
            raise RecordError(f"{where}: row {_first(~finite)}: `{name}` holds a number that is not finite")
    if all(name in frame for name in contract.key):
        repeated = frame.duplicated(list(contract.key)).to_numpy()
        if repeated.any():
            row = _first(repeated)
            named = ", ".join(f"{name}={frame[name].iloc[row]!r}" for name in contract.key)
            raise RecordError(f"{where}: row {row}: a second row for {named}")


def _first(mask: Any) -> int:
    return int(np.flatnonzero(np.asarray(mask))[0])


def _require_columns(present: Sequence[str], kind: Kind, where: Path) -> None:
    missing = [name for name in CONTRACTS[kind].columns if name not in present]
    if missing:
        raise RecordError(f"{where}: this {kind} table has no column {_quoted(missing)}")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def write_table(path: Path, frame: pd.DataFrame, kind: Kind) -> None:
    """Write `frame` as a `kind` table at `path`, whole or not at all (temporary file, fsync, rename).

    Raises `RecordError` when the frame breaks the contract; nothing is written then.
    """
    _require_columns(list(frame.columns), kind, path)
    check_table(frame, kind, path)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name in CONTRACTS[kind].vector:
        width = len(frame[name].iloc[0]) if len(frame) else 0
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.list_(pa.float32(), width)))
    metadata = {**(table.schema.metadata or {}), _SCHEMA_KEY: str(SCHEMA).encode()}
    table = table.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_table(path: Path, kind: Kind, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a `kind` table, all of it or only `columns`, checked against its contract and sorted by its key.

    An optional column that the file lacks is not in the frame. Raises `RecordError` naming the file when
    it is missing, damaged, too new or against its contract.
    """
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            _refuse_newer(int(metadata.get(_SCHEMA_KEY, b"1")), path)
            _require_columns(file.schema_arrow.names, kind, path)
            frame = file.read(columns=None if columns is None else list(columns)).to_pandas()
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordError(f"{path}: not a readable Parquet file ({error})") from error
    check_table(frame, kind, path)
    key = [name for name in CONTRACTS[kind].key if name in frame]
    return frame.sort_values(key, ignore_index=True)


def read_json(path: Path, required: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON object at `path`; `RecordError` when unreadable, too new or without a `required` key."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file{_nearby(path.parent)}") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(document, dict):
        raise RecordError(f"{path}: holds a {type(document).__name__} where an object is expected")
    if "schema" in document:
        _refuse_newer(document["schema"], path)
    missing = [key for key in required if key not in document]
    if missing:
        raise RecordError(f"{path}: no key {_quoted(missing)}")
    return document


def _nearby(path: Path) -> str:
    """Where there are experiments, if `path` is none: in it, or beside it."""
    for folder in (path, path.parent) if not (path / "experiment.json").exists() else ():
        found = sorted(index.parent for index in folder.glob("[!.]*/experiment.json"))
        if found:
            return f"; experiments in {folder}: {', '.join(each.name for each in found)}"
    return ""


def _refuse_newer(schema: int, where: Path) -> None:
    if schema > SCHEMA:
        raise RecordError(
            f"{where}: written with record schema {schema}, and this version of overopt reads up to "
            f"{SCHEMA}; upgrade overopt to read it"
        )
