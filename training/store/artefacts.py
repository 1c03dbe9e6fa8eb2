"""Content-addressed artefacts: what a stage leaves on disk, named by the hash of all that made it.

<root>/artefacts/<stage>-<id>/    published whole by one rename, or absent; artefact.json names every file
<root>/partial/<stage>-<id>/      work in progress; survives a crash, so that a stage can continue in it
<root>/locks/<stage>-<id>.lock    held by the process that builds, released by the kernel when it dies
<root>/damaged/                   artefacts that no longer match their own manifest, set aside
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.store.atomic import disk_errors, hash_file, read_json, sync, write_json
from training.store.identity import Identity, canonical, digest
from training.store.lock import InUse, locked

log = logging.getLogger(__name__)

SCHEMA = 2
MANIFEST = "artefact.json"
"""Not `manifest.json`: that name belongs to the records of a run, which may be part of an artefact."""
TRACES = ("metrics.jsonl", "seconds.json")
"""Files that tell how an artefact came to be, with times in them. No stage reads them."""
PACKAGES = ("torch", "trl", "transformers", "accelerate", "datasets", "numpy", "pandas", "pyarrow", "scipy")
"""Libraries whose versions are kept with every artefact."""


@dataclass(frozen=True)
class Artefact:
    """A published directory whose files have been checked against its manifest."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def content(self) -> str:
        """Hash of what it holds, to give as an input of a later stage: a stage that is run again and leaves
        the same bytes changes nothing downstream."""
        return str(self.manifest["content"])

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the stage said about its result."""
        return dict(self.manifest["meta"])


@dataclass
class Building:
    """One artefact in the making, locked for this process.

    `artefact` is set when another process published it while this one waited for the lock.
    """

    store: Store
    identity: Identity
    path: Path
    """Stable directory to write into; after a crash it holds what the previous attempt left."""
    artefact: Artefact | None
    started: float = field(default_factory=time.monotonic)

    def reset(self) -> None:
        """Empty the directory, for stages that cannot continue a previous attempt."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)

    def commit(self, meta: Mapping[str, Any] | None = None) -> Artefact:
        """Make every file durable, write the manifest last, publish by one rename.

        An artefact that another process has published since is returned as it is.

        Raises:
            ValueError: if the directory holds a symbolic link.
            UserError: if the disk is full or read-only; the partial directory is kept.
        """
        if self.artefact:
            return self.artefact
        with disk_errors(self.path):
            names = _files(self.path)
            for name in names:
                sync(self.path / name)
            files = {name: _fingerprint(self.path / name) for name in names}
            manifest: dict[str, Any] = {
                "schema": SCHEMA,
                "id": self.identity.id,
                "identity": self.identity.document,
                "label": self.identity.label,
                "created": datetime.now(UTC).isoformat(),
                "seconds": round(time.monotonic() - self.started, 3),
                "packages": versions(),
                "meta": dict(meta or {}),
                "files": files,
                "content": digest({k: v["sha256"] for k, v in files.items() if k not in TRACES})[:20],
            }
            manifest = json.loads(canonical(manifest))
            write_json(self.path / MANIFEST, manifest | {"seal": digest(manifest)})
            for folder, _, _ in os.walk(self.path, topdown=False):
                sync(Path(folder))
            target = self.store.artefacts / self.identity.name
            os.rename(self.path, target)
            sync(target.parent)
            sync(self.path.parent)
            # Records are hard links to these files: editing one in place would damage the artefact.
            for name in (*names, MANIFEST):
                (target / name).chmod(0o444)
        self.artefact = Artefact(target, manifest)
        self.store.accept(self.identity.name, self.artefact)
        return self.artefact


class Store:
    """Artefacts under one root directory, which several processes may use at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.artefacts = self.root / "artefacts"
        self._checked: dict[str, Artefact] = {}

    def find(self, identity: Identity) -> Artefact | None:
        """The artefact if it is published and every file still has its size and SHA-256.

        A damaged artefact is set aside with a warning and counts as missing. Each is checked once per store
        object.

        Raises:
            UserError: if a newer version wrote it, or the store cannot be read.
        """
        with disk_errors(self.root):
            try:
                return self._read(identity)
            except _Damaged:
                pass
            try:
                with self._lock(identity, wait=False):
                    return self._read_or_set_aside(identity)
            except InUse:
                return None  # its owner sets it aside, or is building it anew already

    @contextlib.contextmanager
    def begin(self, identity: Identity, wait: bool = True) -> Iterator[Building]:
        """Lock one artefact and give its partial directory; leaving without `commit` keeps that directory.

        Args:
            identity: of the artefact to build.
            wait: wait while another process builds it, rather than refuse.

        Raises:
            UserError: if it is in use and `wait` is false, or the disk is full or read-only.
        """
        with disk_errors(self.root), self._lock(identity, wait):
            artefact = self._read_or_set_aside(identity)
            partial = self.root / "partial" / identity.name
            if artefact is None:
                self.artefacts.mkdir(exist_ok=True)
                partial.mkdir(parents=True, exist_ok=True)
                for leftover in (partial / MANIFEST, *partial.rglob(".*.tmp")):
                    leftover.unlink(missing_ok=True)
            yield Building(self, identity, partial, artefact)

    def peek(self, identity: Identity) -> Artefact | None:
        """The artefact if it is published and sound. Changes nothing."""
        try:
            return self._read(identity)
        except _Damaged:
            return None

    def state(self, identity: Identity) -> str:
        """What to say of an artefact that is not there: "damaged (…)", "unfinished" or "missing"."""
        try:
            self._read(identity)
        except _Damaged as damage:
            return f"damaged ({damage})"
        return "unfinished" if (self.root / "partial" / identity.name).exists() else "missing"

    def _lock(self, identity: Identity, wait: bool) -> AbstractContextManager[None]:
        return locked(self.root / "locks" / f"{identity.name}.lock", wait)

    def accept(self, name: str, artefact: Artefact) -> None:
        """Remember an artefact that needs no further check."""
        self._checked[name] = artefact

    def _read(self, identity: Identity) -> Artefact | None:
        path = self.artefacts / identity.name
        if identity.name not in self._checked and path.exists():
            self.accept(identity.name, _verified(path))
        return self._checked.get(identity.name)

    def _read_or_set_aside(self, identity: Identity) -> Artefact | None:
        """Only under the lock: otherwise a sound successor could be set aside in place of the damaged one."""
        try:
            return self._read(identity)
        except _Damaged as damage:
            aside = self.root / "damaged" / f"{identity.name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            os.rename(self.artefacts / identity.name, aside)
            log.warning("%s is damaged (%s); set aside as %s and built again", identity.name, damage, aside)
            return None

    def manifests(self) -> list[dict[str, Any]]:
        """The manifests of all published artefacts, newest first; their files are not checked."""
        found = []
        for path in self.artefacts.glob("*"):
            with contextlib.suppress(_Damaged, OSError):
                manifest = _manifest(path)
                if manifest["schema"] == SCHEMA:
                    found.append(manifest)
        return sorted(found, key=lambda manifest: str(manifest["created"]), reverse=True)


class _Damaged(Exception):
    """A published artefact does not match its manifest; the message says where."""


def versions() -> dict[str, str]:
    """Versions of the installed `PACKAGES`."""
    installed = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = read_json(path / MANIFEST)
        seal = manifest.pop("seal")
    except FileNotFoundError:
        raise _Damaged(f"{MANIFEST} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _Damaged(f"{MANIFEST} is not readable") from None
    if seal != digest(manifest):
        raise _Damaged(f"{MANIFEST} was changed")
    return dict(manifest)


def _verified(path: Path) -> Artefact:
    """Read an artefact and check each of its files."""
    manifest = _manifest(path)
    if manifest["schema"] > SCHEMA:
        raise UserError(f"{path} was written by a newer version of overopt; use that, or another paths.store")
    for name, expected in manifest["files"].items():
        try:
            found = _fingerprint(path / name)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise _Damaged(f"{name} is missing") from None
        if found != expected:
            raise _Damaged(f"{name} was changed")
    return Artefact(path, manifest)


def _files(folder: Path) -> list[str]:
    """Sorted relative names of the plain files below `folder`, without the store's own manifest."""
    paths = sorted(folder.rglob("*"))
    if links := [path for path in paths if path.is_symlink()]:
        raise ValueError(f"an artefact holds plain files only, but {links[0]} is a link")
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return [name for name in names if name != MANIFEST]


def _fingerprint(path: Path) -> dict[str, Any]:
    return {"sha256": hash_file(path), "bytes": path.stat().st_size}
