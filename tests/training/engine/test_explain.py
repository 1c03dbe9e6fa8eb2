"""A dry run says what would run and why, naming first causes only, and looks without touching."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plans import AMPLE, LABELLED, PATHS, planned, policies, proxy

from training.engine.explain import DryRun, explain
from training.engine.resolve import identity_of
from training.engine.stage import Plan
from training.store.artefacts import Artefact, Store
from training.store.atomic import write_bytes


def make(plan: Plan, store: Store) -> dict[str, Artefact]:
    """An artefact of every stage, which holds the stage's key; each took 90 s."""
    done: dict[str, Artefact] = {}
    for stage in plan.stages:
        identity = identity_of(stage, done)
        assert identity is not None, "stages come after what they need"
        with store.begin(identity) as building:
            if building.artefact is None:
                write_bytes(building.path / "key", stage.key.encode())
            done[stage.key] = building.commit({"compute_seconds": 90.0})
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with all that the base plan makes."""
    store = Store(tmp_path_factory.mktemp("store"))
    make(planned(), store)
    return store


def reasons(dry: DryRun) -> dict[str, str]:
    """Why each stage runs that would, by title."""
    return {line.stage.title: line.reason for line in dry.lines if line.runs}


def test_where_nothing_was_ever_run_first_causes_are_new_and_nothing_can_be_timed(tmp_path: Path) -> None:
    dry = explain(planned(), Store(tmp_path / "store"))
    assert all(line.runs and line.seconds is None for line in dry.lines)
    assert {title for title, reason in reasons(dry).items() if reason} == {"world"}
    *lines, summary = dry.text()
    assert lines[0] == "run    build the world  [never run]" and lines[1].startswith("then   draw prompts")
    assert summary == f"at most {len(lines)} of {len(lines)} stages would run"
    assert not (tmp_path / "store").exists()


def test_what_is_there_is_reused_and_nothing_is_touched(store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}
    *lines, summary = explain(planned(), Store(store.root)).text()
    assert (
        all(line.startswith("reuse  ") for line in lines) and summary == f"0 of {len(lines)} stages would run"
    )
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before


def test_first_causes_are_named_in_the_notation_of_overrides_and_the_rest_follows(store: Store) -> None:
    found = reasons(explain(planned(("proxies.ample.fit", {"epochs": 3})), store))
    assert set(found) == proxy("ample", AMPLE)
    assert {title: reason for title, reason in found.items() if reason} == {
        "proxy ample/0": "fit.epochs 2.0 -> 3.0"
    }
    found = reasons(explain(planned(("runs.path.steps", 20)), store))
    assert set(found) == policies(PATHS)
    assert {reason for title, reason in found.items() if title.startswith("policy")} == {"steps 150 -> 20"}


def test_times_are_those_of_the_stages_kind_on_this_machine(store: Store) -> None:
    *lines, summary = explain(planned(("annotator.temperature", 0.5)), store).text()
    running = [line for line in lines if not line.startswith("reuse")]
    assert len(running) == len(LABELLED) and all("  about 2 min" in line for line in running)
    minutes = round(len(LABELLED) * 1.5)
    assert re.fullmatch(
        rf"at most {len(running)} of {len(lines)} stages would run: about ({minutes} min|.* h) .*", summary
    )


def test_a_change_is_told_against_the_latest_sibling(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for epochs in (4, 6):
        make(planned(("proxies.ample.fit", {"epochs": epochs})), store)
    found = reasons(explain(planned(("proxies.ample.fit", {"epochs": 3})), store))
    assert found["proxy ample/0"] == "fit.epochs 6.0 -> 3.0"


def test_what_was_begun_or_is_damaged_says_so(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), planned()
    done = make(plan, store)
    world, control = done[plan.world.key], done[plan.runs[0].train.key]
    (control.path / "key").chmod(0o644)
    (control.path / "key").write_text("other")
    found = reasons(explain(plan, Store(tmp_path)))
    assert found[plan.runs[0].train.title] == "damaged (key was changed)"
    changed = planned(("seed", 1))
    identity = identity_of(changed.world, {})
    assert identity is not None and identity.name != world.path.name
    with pytest.raises(KeyboardInterrupt), store.begin(identity):
        raise KeyboardInterrupt
    assert reasons(explain(changed, Store(tmp_path)))["world"] == "unfinished"
