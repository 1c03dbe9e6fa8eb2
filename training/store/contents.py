"""Files outside the store that a stage reads: what lies there decides its result, not what it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.store.atomic import hash_file


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
    """Path → what lies there, for every `path` named anywhere in settings."""
    return {path: found for path in _paths(settings) if (found := contents(path))}


def _paths(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key == "path" and isinstance(value, str):
                yield value
            yield from _paths(value)
