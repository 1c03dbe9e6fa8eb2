"""The artefact store: identity, reuse, damage, explanations, locks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from training.errors import UserError
from training.store import atomic
from training.store.artefacts import MANIFEST, Building, Identity, Store
from training.store.lock import locked

SFT = Identity("sft", {"sft": {"learning_rate": 0.001, "steps": 10}}, {"world": "w0"}, "c0", "policy")


def write_two_files(building: Building) -> dict[str, Any]:
    atomic.write_bytes(building.path / "weights.bin", b"\x00\x01" * 500)
    atomic.write_json(building.path / "deep" / "card.json", {"accuracy": 0.75})
    return {"accuracy": 0.75}


def must_not_build(building: Building) -> None:
    pytest.fail(f"built {building.identity.name} again")


@pytest.mark.parametrize(
    "changed",
    [
        Identity("rm", SFT.settings, SFT.inputs, "c0"),
        Identity("sft", {"sft": {"learning_rate": 0.001, "steps": 11}}, SFT.inputs, "c0"),
        Identity("sft", SFT.settings, {"world": "w1"}, "c0"),
        Identity("sft", SFT.settings, {"place": "w0"}, "c0"),
        Identity("sft", SFT.settings, SFT.inputs, "c1"),
    ],
)
def test_everything_that_makes_an_artefact_changes_its_id(changed: Identity) -> None:
    assert changed.id != SFT.id


def test_order_of_keys_and_label_do_not_change_the_id() -> None:
    other = Identity("sft", {"sft": {"steps": 10, "learning_rate": 1e-3}}, {"world": "w0"}, "c0", "other")
    assert other.id == SFT.id


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, Path("x")])
def test_settings_that_have_no_exact_json_are_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        _ = Identity("sft", {"value": value}).id


@pytest.mark.parametrize("stage", ["../sft", "a-b", "", "A", "a/b"])
def test_a_stage_name_cannot_be_a_path(stage: str) -> None:
    with pytest.raises(ValueError, match="stage"):
        Identity(stage, {})


def test_an_artefact_is_built_once_and_keeps_what_made_it(tmp_path: Path) -> None:
    built = Store(tmp_path).do(SFT, write_two_files)
    found = Store(tmp_path).do(SFT, must_not_build)
    assert found.path == built.path and found.id == SFT.id and found.meta == {"accuracy": 0.75}
    assert found.manifest == built.manifest
    assert found.manifest["identity"] == SFT.document
    assert sorted(found.manifest["files"]) == ["deep/card.json", "weights.bin"]
    assert "numpy" in found.manifest["packages"]
    assert not list((tmp_path / "partial").iterdir())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 2)


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink], ids=["flip", "truncate", "delete"])
@pytest.mark.parametrize("name", ["weights.bin", "deep/card.json", MANIFEST])
def test_damage_is_found_set_aside_and_repaired(
    tmp_path: Path, name: str, harm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    victim = Store(tmp_path).do(SFT, write_two_files).path / name
    victim.chmod(0o644)
    harm(victim)
    store = Store(tmp_path)
    assert store.why(SFT).startswith(f"damaged ({name} ") and victim.parent.exists()
    assert store.find(SFT) is None
    assert len(caplog.messages) == 1 and name in caplog.text
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    store.do(SFT, write_two_files)
    assert Store(tmp_path).why(SFT) == "reused"


def test_a_dry_run_explains_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.why(SFT) == "never run"
    store.do(SFT, write_two_files)
    assert store.why(SFT) == "reused"
    settings = {"sft": {"learning_rate": 0.002, "steps": 10}, "mitigation": {"type": "cap"}}
    changed = Identity("sft", settings, {"world": "w1"}, "c1", "policy")
    assert store.why(changed) == (
        'mitigation.type (unset) -> "cap"; sft.learning_rate 0.001 -> 0.002; '
        "input `world` changed; code changed"
    )
    assert store.why(Identity("sft", settings, label="another")) == "never run"
    with pytest.raises(KeyboardInterrupt), store.begin(changed):
        raise KeyboardInterrupt
    assert store.why(changed) == "unfinished"


def test_explanations_refer_to_the_latest_sibling(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for steps in (1, 3, 2):
        store.do(Identity("sft", {"steps": steps}), write_two_files)
    assert store.why(Identity("sft", {"steps": 9})) == "steps 2 -> 9"


def test_an_interrupted_stage_finds_its_partial_work(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Store(tmp_path).begin(SFT) as building:
        (building.path / "checkpoint").write_text("half way")
        (building.path / f".weights.{os.getpid()}.tmp").write_text("torn")
        raise RuntimeError
    with Store(tmp_path).begin(SFT) as building:
        assert [path.name for path in building.path.iterdir()] == ["checkpoint"]
        building.reset()
        assert not list(building.path.iterdir())


def test_links_out_of_an_artefact_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="link"), Store(tmp_path).begin(SFT) as building:
        (building.path / "outside").symlink_to("/etc")
        building.commit()


def test_an_artefact_from_the_future_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as future:
        future.setattr("training.store.artefacts.SCHEMA", 99)
        path = Store(tmp_path).do(SFT, write_two_files).path
    with pytest.raises(UserError, match="newer version"):
        Store(tmp_path).find(SFT)
    assert path.exists()


@pytest.mark.parametrize("hard_links", [True, False])
def test_files_are_linked_into_a_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    artefact = Store(tmp_path / "store").do(SFT, write_two_files)
    run = tmp_path / "run"
    atomic.write_json(run / "manifest.json", {})
    atomic.write_bytes(run / "weights.bin", b"older")
    for _ in range(2):
        artefact.link_into(run)
    files = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert files == ["deep/card.json", "manifest.json", "weights.bin"]
    assert (run / "weights.bin").samefile(artefact.path / "weights.bin") == hard_links
    assert (run / "weights.bin").read_bytes() == (artefact.path / "weights.bin").read_bytes()


def test_published_files_are_read_only(tmp_path: Path) -> None:
    artefact = Store(tmp_path).do(SFT, write_two_files)
    assert all(not path.stat().st_mode & 0o222 for path in artefact.path.rglob("*") if path.is_file())


def hold(path: Path, held: Any, release: Any) -> None:
    with locked(path, wait=True):
        held.set()
        release.wait(20)


def test_a_second_process_is_refused_or_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    owner = context.Process(target=hold, args=(tmp_path / "locks" / f"{SFT.name}.lock", held, release))
    owner.start()
    assert held.wait(20)
    store = Store(tmp_path)
    with pytest.raises(UserError, match=f"{SFT.name} is in use by pid {owner.pid}"):
        store.do(SFT, write_two_files, wait=False)
    release.set()
    store.do(SFT, write_two_files)
    owner.join()
    assert store.why(SFT) == "reused"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot write"), (errno.EACCES, "cannot write")],
)
def test_a_disk_that_cannot_be_written_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=f"{words}.*{tmp_path}.*paths.store"):
        Store(tmp_path).do(SFT, write_two_files)


def test_a_full_disk_says_how_much_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    words = f"3 MiB are free on the disk of {tmp_path}"
    with pytest.raises(UserError, match=words), atomic.disk_errors(tmp_path / "not" / "yet"):
        raise OSError(errno.ENOSPC, "full")


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(RuntimeError), atomic.replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("torn")
        raise RuntimeError
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_all_is_on_the_disk_before_it_becomes_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a name must never point to content that was not written."""
    events: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def watched_rename(source: Path, target: Path) -> None:
        rename(source, target)
        events.append("published")

    with Store(tmp_path).begin(SFT) as building:
        for name in ("b", "deep/a"):
            (building.path / name).parent.mkdir(exist_ok=True)
            (building.path / name).write_text("content")
        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "rename", watched_rename)
        building.commit()
    before, after = events[: events.index("published")], events[events.index("published") :]
    inside = [os.path.relpath(event, building.path) for event in before]
    assert set(inside) >= {"b", "deep/a", "deep", "."}
    manifest = next(index for index, name in enumerate(inside) if MANIFEST in name)
    assert manifest > max(inside.index("b"), inside.index("deep/a")), "the manifest comes last"
    assert str(tmp_path / "artefacts") in after
