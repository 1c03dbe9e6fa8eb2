"""The report as an artefact: drawn once for the same records and the same code, and reused after that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.store.artefacts import Artefact, Store
from training.store.atomic import hash_file, link
from training.store.code_identity import ROOT, CodeIdentity
from training.store.identity import Identity, digest

WRITER, TEMPLATE = "analysis.report.write", "analysis/report/report.html.j2"
DRAWN = ("report.html", "summary.json", "tables", "figures")
"""What a report consists of; all else in a folder of records is records."""
NO_RECORDS = (*DRAWN, "logs", "wandb")
OF_THE_CALL = ("provenance", "wall_seconds")
"""Entries of experiment.json that differ between two runs of the same experiment."""


def report(records: Path, store: Store, plugins: Sequence[str] = ()) -> tuple[Path, bool]:
    """Put the report of whole records beside them; returns its path, and whether it had to be drawn.

    Args:
        plugins: modules that take part in drawing it.
    """
    from analysis.report.write import write_report

    code = CodeIdentity().of((WRITER, *plugins))
    contents = {"records": digest(_contents(records)), "template": hash_file(ROOT / TEMPLATE)}
    identity = Identity("report", {}, contents, code, records.name)
    artefact = store.find(identity)
    drawn = artefact is None
    if artefact is None:
        with store.begin(identity) as building:
            if building.artefact is None:
                building.reset()
                write_report(records, building.path)
            artefact = building.commit()
    _show(artefact, records)
    return records / "report.html", drawn


def _contents(records: Path) -> dict[str, str]:
    """File → hash, of all that a report is computed from."""
    found = {}
    for file in sorted(records.rglob("*")):
        name = file.relative_to(records).as_posix()
        top = name.partition("/")[0]
        if file.is_file() and top not in NO_RECORDS and not top.startswith("."):
            found[name] = _of_the_experiment(file) if name == "experiment.json" else hash_file(file)
    return found


def _of_the_experiment(index: Path) -> str:
    document: dict[str, Any] = json.loads(index.read_bytes())
    return digest({key: value for key, value in document.items() if key not in OF_THE_CALL})


def _show(artefact: Artefact, records: Path) -> None:
    """The report's files beside the records, and none of an earlier report's."""
    for name in ("tables", "figures"):
        wanted = {file for file in artefact.manifest["files"] if file.startswith(f"{name}/")}
        for old in (records / name).glob("*"):
            if f"{name}/{old.name}" not in wanted:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in artefact.manifest["files"]:
        link(artefact.path / name, records / name)
