"""What decides a stage's result besides its settings and inputs: our code, the libraries, local files."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.store.atomic import hash_file

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("training", "reward_models", "analysis")
LIBRARIES = ("torch", "transformers", "trl", "tokenizers")


@lru_cache
def fingerprint(stage: str) -> str:
    """Hash of the sources and library versions that decide the results of `stage`."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            digest.update(source.read_bytes())
    for library in LIBRARIES:
        try:
            digest.update(f"{library}={importlib.metadata.version(library)}".encode())
        except importlib.metadata.PackageNotFoundError:
            digest.update(f"{library} absent".encode())
    return digest.hexdigest()[:16]


@lru_cache
def contents(path: str) -> str | None:
    """Hash of a local file, or of all files in a folder; None where `path` is neither (a model id, say)."""
    root = Path(path)
    if not root.exists():
        return None
    digest = hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]:
        digest.update(f"{file.relative_to(root)}={hash_file(file)}".encode())
    return digest.hexdigest()[:16]


def contents_named_in(settings: Any) -> dict[str, str]:
    """Path → what lies there, for every `path` named anywhere in settings: it decides the result."""
    return {path: found for path in _paths(settings) if (found := contents(path))}


def _paths(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key == "path" and isinstance(value, str):
                yield value
            yield from _paths(value)
