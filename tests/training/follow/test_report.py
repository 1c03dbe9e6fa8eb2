"""The report is drawn once for the same records and the same code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.report import write
from training.follow.report import report
from training.store.artefacts import Store


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "x"
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "scores.parquet").write_text("1")
    index(folder, status="complete")
    return folder


def index(folder: Path, **entries: object) -> None:
    (folder / "experiment.json").write_text(json.dumps(entries))


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where a report was drawn, each time."""
    places: list[Path] = []

    def draw(records: Path, out: Path) -> None:
        places.append(out)
        (out / "figures").mkdir(parents=True)
        (out / "figures" / f"{len(places)}.png").write_text("picture")
        (out / "report.html").write_text(f"report {len(places)}")

    monkeypatch.setattr(write, "write_report", draw)
    return places


def test_the_same_records_are_drawn_once(records: Path, tmp_path: Path, drawn: list[Path]) -> None:
    store = Store(tmp_path / "store")
    page, first = report(records, store)
    assert (page.read_text(), first) == ("report 1", True)
    (records / "logs").mkdir()
    (records / "logs" / "x.log").write_text("anything")
    index(records, status="complete", wall_seconds={"total": 1.0}, provenance={"created": "now"})
    assert report(records, Store(store.root))[1] is False and len(drawn) == 1


def test_what_is_deleted_comes_back_without_drawing(records: Path, tmp_path: Path, drawn: list[Path]) -> None:
    page, _ = report(records, Store(tmp_path / "store"))
    page.unlink()
    report(records, Store(tmp_path / "store"))
    assert page.read_text() == "report 1" and len(drawn) == 1


@pytest.mark.parametrize("change", ["status", "scores"])
def test_other_records_are_drawn_and_leave_nothing_of_the_old_report(
    records: Path, tmp_path: Path, drawn: list[Path], change: str
) -> None:
    report(records, Store(tmp_path / "store"))
    if change == "status":
        index(records, status="partial")
    else:
        (records / "run" / "scores.parquet").write_text("2")
    page, again = report(records, Store(tmp_path / "store"))
    assert again and page.read_text() == "report 2"
    assert [file.name for file in (records / "figures").iterdir()] == ["2.png"]
