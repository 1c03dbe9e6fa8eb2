"""Points in the records: hard links to a policy's tables, and one table of what all scorers gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.records import contracts
from training.store.atomic import link

SAMPLED = ("samples", "outcomes", "hidden", "rewards")


def add_point(samples: Path | None, scores: Sequence[Path], target: Path) -> None:
    """Make the point `target` of what is there: the samples' folder, and a folder of each scorer."""
    if samples:
        _link_all(samples, SAMPLED, target)
    for folder in scores:
        _link_all(folder, contracts.tables_beside(), target)
    tables = [
        contracts.read_table(file, "scores")
        for folder in scores
        if (file := folder / "scores.parquet").exists()
    ]
    if tables and not (target / "scores.parquet").exists():
        contracts.write_table(target / "scores.parquet", pd.concat(tables, ignore_index=True), "scores")


def add_audit(folders: Sequence[Path], target: Path) -> None:
    """One table of all scorers' values of the matched completions."""
    if folders and not target.exists():
        tables = [contracts.read_table(folder / "audit.parquet", "audit") for folder in folders]
        contracts.write_table(target, pd.concat(tables, ignore_index=True), "audit")


def link_once(source: Path, target: Path) -> None:
    """Make a file appear in the records, unless it is there."""
    if not target.exists():
        link(source, target)


def _link_all(folder: Path, names: Sequence[str], target: Path) -> None:
    for name in names:
        if (file := folder / f"{name}.parquet").exists():
            link_once(file, target / file.name)
