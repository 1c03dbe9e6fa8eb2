"""Inputs enter by what they hold: a stage that leaves the same bytes ends the cascade."""

from __future__ import annotations

from pathlib import Path

import letters
import pytest
from letters import joined, letter

from training.engine.executor import Executor, State
from training.engine.explain import explain
from training.engine.stage import Stage
from training.store.artefacts import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def chain(text: str, code: str = "1", last: str = "1") -> tuple[Stage, ...]:
    first = letter("first", text, code)
    second = joined("second", only=first)
    return first, second, joined("third", last, a=first, b=second)


def run(store: Store, *stages: Stage) -> tuple[list[str], State]:
    """Labels of what ran, and where everything stands."""
    letters.RAN.clear()
    state = Executor(letters.plan(*stages), store, 1, store.root / "logs", []).run()
    assert not state.failed
    return list(letters.RAN), state


def test_what_is_there_is_not_made_again(store: Store) -> None:
    assert run(store, *chain("a"))[0] == ["first", "second", "third"]
    assert run(Store(store.root), *chain("a"))[0] == []


def test_another_setting_that_leaves_the_same_bytes_reruns_itself_alone(store: Store) -> None:
    run(store, *chain("a"))
    ran, state = run(store, *chain("A"))
    assert ran == ["first"] and len(state.reused) == 2


def test_other_code_that_leaves_the_same_bytes_reruns_itself_alone(store: Store) -> None:
    run(store, *chain("a"))
    assert run(store, *chain("a", code="2"))[0] == ["first"]


def test_other_bytes_go_all_the_way_down(store: Store) -> None:
    run(store, *chain("a"))
    ran, state = run(store, *chain("b"))
    assert ran == ["first", "second", "third"]
    third = state.done[chain("b")[-1].key]
    assert (third.path / "text").read_text() == "bb"


def test_a_change_in_the_last_stage_touches_nothing_before_it(store: Store) -> None:
    run(store, *chain("a"))
    assert run(store, *chain("a", last="2"))[0] == ["third"]


def test_times_in_a_journal_are_no_content(store: Store) -> None:
    """Every run writes other times into metrics.jsonl."""
    _, before = run(store, letter("first", "a"))
    _, after = run(Store(store.root.with_name("other")), letter("first", "a"))
    one, other = (next(iter(state.done.values())) for state in (before, after))
    assert (one.path / "metrics.jsonl").read_text() != (other.path / "metrics.jsonl").read_text()
    assert one.content == other.content


def test_a_dry_run_names_first_causes_and_what_follows(store: Store) -> None:
    run(store, *chain("a"))
    first, second, third, last = explain(letters.plan(*chain("b")), store).text()
    assert first.startswith("run ") and 'text "a" -> "b"' in first and "about 1 s" in first
    assert second.startswith("then ") and third.startswith("then ") and "[" not in second + third
    assert last.startswith("at most 3 of 3 stages would run: about")


def test_a_dry_run_says_which_code_changed(store: Store) -> None:
    run(store, *chain("a"))
    lines = list(explain(letters.plan(*chain("a", last="2")), store).text())
    assert [line.split()[0] for line in lines] == ["reuse", "reuse", "run", "1"]
    assert "letters 1 -> 2" in lines[2]


def test_a_dry_run_of_what_never_ran_has_no_estimate(store: Store) -> None:
    *lines, last = explain(letters.plan(*chain("a")), store).text()
    assert "[never run]" in lines[0] and last == "at most 3 of 3 stages would run"
    assert not store.root.exists()
