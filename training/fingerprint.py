"""What decides a stage's result besides its settings and inputs: our code, the libraries, local files."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.durable import hash_file

ROOT = Path(__file__).resolve().parent.parent

# The code that decides a stage's result, beside the libraries: a change to it makes the artefact anew.
CODE = {
    "world": ("training/worlds",),
    "sft": ("training/sft.py", "reward_models/backbone.py", "reward_models/trl_arguments.py"),
    "pairs": ("training/pairs.py", "training/sample.py"),
    "gold": (
        "reward_models/bradley_terry.py",
        "reward_models/gold.py",
        "reward_models/reward.py",
        "reward_models/calibration.py",
        "reward_models/trl_arguments.py",
        "training/pairs.py",
        "training/worlds",
    ),
    "values": (
        "reward_models/gold.py",
        "reward_models/reward.py",
        "training/pairs.py",
        "training/worlds",
    ),
    "labels": ("reward_models/annotators", "training/pairs.py", "training/selection.py"),
    "proxy": (
        "reward_models/bradley_terry.py",
        "reward_models/reward.py",
        "reward_models/trl_arguments.py",
        "training/pairs.py",
    ),
    "control": ("reward_models/reward.py", "training/pairs.py"),
    "card": ("reward_models/calibration.py", "reward_models/annotators", "training/pairs.py"),
    "reference": ("training/sample.py", "training/kl.py", "training/worlds"),
    "pool": ("training/sample.py", "training/kl.py", "training/worlds"),
    "policy": (
        "training/methods",
        "training/mitigations",
        "training/pairs.py",
        "analysis/best_of_n.py",
        "training/budget.py",
        "training/observe.py",
        "training/sample.py",
        "training/kl.py",
        "reward_models/reward.py",
        "reward_models/trl_arguments.py",
        "training/worlds",
    ),
    "between": (
        "training/interpolate.py",
        "training/observe.py",
        "training/sample.py",
        "training/kl.py",
        "training/worlds",
    ),
    "scores": (
        "training/score.py",
        "training/approval.py",
        "training/pairs.py",
        "reward_models/annotators",
        "reward_models/gold.py",
        "reward_models/reward.py",
        "training/worlds",
    ),
    "audit": ("training/score.py", "reward_models/gold.py", "reward_models/reward.py", "training/worlds"),
}
SHARED_CODE = ("training/stages.py", "training/streams.py")
LIBRARIES = ("torch", "transformers", "trl", "tokenizers")


@lru_cache
def fingerprint(stage: str) -> str:
    """Hash of the sources and library versions that decide the results of `stage`."""
    digest = hashlib.sha256()
    for place in (*CODE[stage], *SHARED_CODE):
        path = ROOT / place
        for source in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
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
