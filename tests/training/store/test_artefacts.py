"""The artefact store: identity, reuse, damage, explanations, locks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.errors import UserError
from training.store import atomic
from training.store.artefacts import MANIFEST, TRACES, Artefact, Building, Identity, Store
from training.store.lock import locked

SFT = Identity(
    "sft", {"sft": {"learning_rate": 0.001, "steps": 10}}, {"world": "w0"}, {"module": "c0"}, "policy"
)


def write_two_files(building: Building) -> dict[str, Any]:
    atomic.write_bytes(building.path / "weights.bin", b"\x00\x01" * 500)
    atomic.write_json(building.path / "deep" / "card.json", {"accuracy": 0.75})
    return {"accuracy": 0.75}


def built(store: Store, identity: Identity = SFT, wait: bool = True) -> Artefact:
    """The artefact, with two files in it, made unless it is there."""
    with store.begin(identity, wait) as building:
        return building.artefact or building.commit(write_two_files(building))


@pytest.mark.parametrize(
    "changed",
    [
        Identity("rm", SFT.settings, SFT.inputs, {"module": "c0"}),
        Identity("sft", {"sft": {"learning_rate": 0.001, "steps": 11}}, SFT.inputs, {"module": "c0"}),
        Identity("sft", SFT.settings, {"world": "w1"}, {"module": "c0"}),
        Identity("sft", SFT.settings, {"place": "w0"}, {"module": "c0"}),
        Identity("sft", SFT.settings, SFT.inputs, {"module": "c1"}),
    ],
)
def test_everything_that_makes_an_artefact_changes_its_id(changed: Identity) -> None:
    assert changed.id != SFT.id


def test_order_of_keys_and_label_do_not_change_the_id() -> None:
    other = Identity(
        "sft", {"sft": {"steps": 10, "learning_rate": 1e-3}}, {"world": "w0"}, {"module": "c0"}, "other"
    )
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
    made = built(Store(tmp_path))
    with Store(tmp_path).begin(SFT) as building:
        assert building.artefact is not None, "it would be built again"
    found = Store(tmp_path).find(SFT)
    assert found is not None and found.path == made.path and found.meta == {"accuracy": 0.75}
    assert found.manifest == made.manifest and found.manifest["id"] == SFT.id
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
    victim = built(Store(tmp_path)).path / name
    victim.chmod(0o644)
    harm(victim)
    store = Store(tmp_path)
    assert store.peek(SFT) is None and victim.parent.exists()
    assert store.state(SFT).startswith(f"damaged ({name} ") and victim.parent.exists()
    assert store.find(SFT) is None
    assert len(caplog.messages) == 1 and name in caplog.text
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    built(store)
    assert Store(tmp_path).peek(SFT) is not None


def test_what_is_not_there_is_missing_or_unfinished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.peek(SFT) is None and store.state(SFT) == "missing"
    with pytest.raises(KeyboardInterrupt), store.begin(SFT):
        raise KeyboardInterrupt
    assert store.peek(SFT) is None and store.state(SFT) == "unfinished"


def test_what_differs_from_an_older_identity_is_said_in_words() -> None:
    settings = {"sft": {"learning_rate": 0.002, "steps": 10}, "mitigation": {"type": "cap"}}
    code = {"training.stages.sft": "c1", "torch": "9.9"}
    changed = Identity("sft", settings, {"world": "w1"}, code, "policy")
    old = {**SFT.document, "code": {"training.stages.sft": "c0"}}
    assert changed.changes_since(old) == (
        'mitigation.type (unset) -> "cap"; sft.learning_rate 0.001 -> 0.002; '
        "input `world` changed; code of training.stages.sft changed; torch unused -> 9.9"
    )
    assert SFT.changes_since(SFT.document) == ""


def test_manifests_are_listed_from_the_latest_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = [built(store, Identity("sft", {"steps": steps})) for steps in (1, 3, 2)]
    (made[0].path / MANIFEST).chmod(0o644)
    (made[0].path / MANIFEST).write_text("torn")
    assert [manifest["identity"]["settings"] for manifest in store.manifests()] == [
        {"steps": 2},
        {"steps": 3},
    ]


def test_equal_files_are_equal_content_whatever_made_them(tmp_path: Path) -> None:
    """Also with other times of their making; another byte, another name or one file more is other content."""
    first = built(Store(tmp_path))
    alike = built(Store(tmp_path), Identity("sft", {"steps": 3}))
    assert alike.content == first.content and alike.path != first.path

    def content(number: int, change: Callable[[Path], None]) -> str:
        with Store(tmp_path).begin(Identity("other", {"number": number})) as building:
            write_two_files(building)
            change(building.path)
            return building.commit().content

    assert content(0, lambda folder: [(folder / name).write_text("{}") for name in TRACES]) == first.content  # type: ignore[arg-type, return-value]
    others = {
        content(1, lambda folder: flip(folder / "weights.bin")),
        content(2, lambda folder: (folder / "weights.bin").rename(folder / "weights")),  # type: ignore[arg-type, return-value]
        content(3, lambda folder: atomic.write_bytes(folder / "more", b"")),
    }
    assert len(others - {first.content}) == 3


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
        path = built(Store(tmp_path)).path
    with pytest.raises(UserError, match="newer version"):
        Store(tmp_path).find(SFT)
    assert path.exists()


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_published_file_is_linked_into_records_in_place_of_an_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    def no_links(*_: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)
    source = built(Store(tmp_path / "store")).path / "weights.bin"
    target = tmp_path / "run" / "deep" / "weights.bin"
    for older in (None, b"older"):
        if older:
            atomic.write_bytes(target, older)
        atomic.link(source, target)
        assert target.samefile(source) == hard_links
        assert target.read_bytes() == source.read_bytes()
        assert [path.name for path in target.parent.iterdir()] == ["weights.bin"]


def test_published_files_are_read_only(tmp_path: Path) -> None:
    artefact = built(Store(tmp_path))
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
        built(store, wait=False)
    release.set()
    built(store)
    owner.join()
    assert Store(tmp_path).peek(SFT) is not None


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
        built(Store(tmp_path))


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
