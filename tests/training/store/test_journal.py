"""metrics.jsonl: followed while it is written, and continued after a kill."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from training.store.journal import Journal, follow


def steps(path: Path) -> list[int]:
    return [line["step"] for line in follow(path, 0)[0]]


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path, offset = tmp_path / "metrics.jsonl", 0
    journal = Journal(path)
    for step in (1, 2, 3):
        journal(step, 10, {"loss": 1 / step})
        lines, offset = follow(path, offset)
        assert [line["step"] for line in lines] == [step]
        assert lines[0]["loss"] == 1 / step and lines[0]["total"] == 10
        assert abs(lines[0]["time"] - time.time()) < 60
    assert follow(path, offset) == ([], offset)


def test_a_line_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    lines, offset = follow(path, 0)
    assert [line["step"] for line in lines] == [1]
    with path.open("ab") as file:
        file.write(b'ss": 0.5}\n')
    assert follow(path, offset)[0] == [{"step": 2, "loss": 0.5}]


def test_characters_of_several_bytes_do_not_shift_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "π": 1}\n', encoding="utf-8")
    offset = follow(path, 0)[1]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 2}\n')
    assert follow(path, offset)[0] == [{"step": 2}]


def test_a_missing_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert follow(tmp_path / "metrics.jsonl", 0) == ([], 0)


def test_what_an_earlier_attempt_wrote_is_kept_until_it_is_known_where_to_continue(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = Journal(path)
    for step in range(1, 6):
        first(step, 10, {})
    second = Journal(path)
    assert steps(path) == [1, 2, 3, 4, 5]
    second.keep_until(3)
    assert steps(path) == [1, 2, 3]
    second(4, 10, {})
    assert steps(path) == [1, 2, 3, 4]


@pytest.mark.parametrize("kept", [0, 1])
def test_a_line_torn_by_a_kill_is_dropped_and_never_continued(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2, "lo')
    journal = Journal(path)
    journal.keep_until(kept)
    journal(kept + 1, 10, {})
    assert steps(path) == [*range(1, kept + 1), kept + 1]


def test_a_follower_starts_anew_when_the_journal_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal = Journal(path)
    for step in range(1, 9):
        journal(step, 10, {"loss": 0.5})
    offset = follow(path, 0)[1]
    journal.keep_until(2)
    lines, offset = follow(path, offset)
    assert [line["step"] for line in lines] == [1, 2]
    journal(3, 10, {})
    assert [line["step"] for line in follow(path, offset)[0]] == [3]


def test_whoever_shares_the_process_is_called_after_each_line(tmp_path: Path) -> None:
    seen: list[list[int]] = []
    journal = Journal(tmp_path / "metrics.jsonl", lambda: seen.append(steps(tmp_path / "metrics.jsonl")))
    journal(1, 2, {})
    journal(2, 2, {})
    assert seen == [[1], [1, 2]]


def test_a_follower_starts_anew_when_the_journal_was_cut_and_has_grown_past_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal = Journal(path)
    for step in range(1, 9):
        journal(step, 10, {"loss": 0.5})
    offset = follow(path, 0)[1]
    journal.keep_until(2)
    for step in range(3, 11):
        journal(step, 10, {"loss": 0.123456})
    assert path.stat().st_size > offset, "the new lines reach beyond what was read"
    assert [line["step"] for line in follow(path, offset)[0]] == list(range(1, 11))
