"""The store under kill -9, failing system calls and races: what is published is always whole."""

from __future__ import annotations

import builtins
import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import CHECKOUT

from training.errors import UserError
from training.store import atomic
from training.store.artefacts import Artefact, Identity, Store
from training.store.lock import locked

KILLS = 30
FILES, SIZE = 3, 20_000

# Publishes artefact after artefact and says so only after each commit has returned.
COMMIT_FOREVER = """
import itertools, os, sys
from training.store.atomic import write_bytes
from training.store.artefacts import Identity, Store

def build(building):
    for number in range(int(sys.argv[3])):
        write_bytes(building.path / str(number), os.urandom(int(sys.argv[4])))

store = Store(sys.argv[1])
for index in itertools.count(int(sys.argv[2])):
    with store.begin(Identity("stage", {"index": index})) as building:
        build(building)
        building.commit()
    print(index, flush=True)
"""


def published(root: Path) -> int:
    """Verify all that is visible; the number of artefacts."""
    names = [path.name for path in (root / "artefacts").glob("*")]
    store = Store(root)
    for name in names:
        manifest_id = name.removeprefix("stage-")
        index = next(
            i for i in range(len(names) + KILLS) if Identity("stage", {"index": i}).id == manifest_id
        )
        artefact = store.find(Identity("stage", {"index": index}))
        assert artefact is not None, f"{name} is published but does not verify"
        assert len(artefact.manifest["files"]) == FILES
    assert not (root / "damaged").exists()
    return len(names)


def test_kill_9_never_leaves_half_an_artefact(tmp_path: Path) -> None:
    chance = random.Random(0)
    done = 0
    acknowledged: list[int] = []
    for _ in range(KILLS):
        command = [sys.executable, "-c", COMMIT_FOREVER, str(tmp_path), str(done), str(FILES), str(SIZE)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
        assert child.stdout is not None
        acknowledged.append(int(child.stdout.readline()))  # it is in its loop
        time.sleep(chance.uniform(0, 0.06))
        child.kill()
        acknowledged += [int(line) for line in child.stdout.read().split()]
        child.wait()
        done = acknowledged[-1] + 1
    assert published(tmp_path) >= len(acknowledged) == done >= KILLS
    store = Store(tmp_path)
    for index in acknowledged:
        assert store.find(Identity("stage", {"index": index})), f"acknowledged artefact {index} is gone"


def build(store: Store, identity: Identity) -> Artefact:
    """Make an artefact of a few files, unless it is there."""
    with store.begin(identity) as building:
        if building.artefact is None:
            for number in range(FILES):
                atomic.write_bytes(building.path / "folder" / str(number), b"x" * SIZE)
        return building.commit()


def fail_at(monkeypatch: pytest.MonkeyPatch, fatal: int, number: int) -> Callable[[], int]:
    """Make the `fatal`-th file operation raise; returns the count of operations so far."""
    calls = 0

    def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == fatal:
                raise OSError(number, os.strerror(number))
            return operation(*arguments, **options)

        return call

    for module, name in [
        (os, "fsync"),
        (os, "rename"),
        (os, "replace"),
        (os, "open"),
        (os, "mkdir"),
        (os, "unlink"),
        (os, "chmod"),
        (builtins, "open"),
    ]:
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    return lambda: calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_failing_at_each_operation_in_turn_publishes_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    identity = Identity("stage", {"index": 0})
    expected = UserError if number == errno.ENOSPC else OSError
    outcomes = set()
    for fatal in range(1, 200):
        root = tmp_path / str(fatal)
        with monkeypatch.context() as patch:
            operations = fail_at(patch, fatal, number)
            try:
                build(Store(root), identity)
                failed = False
            except expected:
                failed = True
            reached = operations() >= fatal
        visible = published(root)
        outcomes.add((failed, visible))
        assert visible == 1 or failed
        build(Store(root), identity)  # the next attempt succeeds whatever was left
        assert published(root) == 1
        if not reached:
            break
    assert fatal > 25 and not failed, "the loop must reach a run without a fault"
    assert (True, 0) in outcomes, "no fault hit before the rename: the test would prove nothing"


def build_slowly(root: Path, started: Any) -> None:
    identity = Identity("stage", {"index": 0})
    started.wait()
    with Store(root).begin(identity) as building:
        if building.artefact is None:
            with open(root / "builds", "a") as file:
                file.write("x")
            time.sleep(0.2)
            for number in range(FILES):
                atomic.write_bytes(building.path / str(number), b"x")
        assert building.commit().path.exists()


def test_processes_that_race_for_an_artefact_build_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    racers = [context.Process(target=build_slowly, args=(tmp_path, started)) for _ in range(4)]
    for racer in racers:
        racer.start()
    started.set()
    for racer in racers:
        racer.join(20)
        assert racer.exitcode == 0
    assert (tmp_path / "builds").read_text() == "x"
    assert published(tmp_path) == 1


# Holds the lock, and has a forked child (such as a data loader's worker) that outlives it.
HOLD_WITH_CHILD = """
import os, pathlib, sys, time
from training.store.lock import locked

with locked(pathlib.Path(sys.argv[1]), wait=False):
    if os.fork() == 0:
        print(os.getpid(), flush=True)
    time.sleep(30)
    os._exit(0)
"""


def test_a_killed_owner_frees_its_lock_even_if_its_children_live_on(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    command = [sys.executable, "-c", HOLD_WITH_CHILD, str(path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    try:
        with pytest.raises(UserError, match=f"pid {owner.pid}"), locked(path, wait=False):
            pass
        owner.kill()
        owner.wait()
        os.kill(child, 0)  # still there
        with locked(path, wait=False):
            assert path.read_text() == str(os.getpid())
    finally:
        os.kill(child, signal.SIGKILL)
