"""What determines an artefact, and in words how two such descriptions differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from training.store import code_identity


@dataclass(frozen=True)
class Identity:
    """All that determines an artefact. Two equal identities may share one artefact.

    `settings` are JSON values without NaN or infinity; `inputs` maps a name to the hash of what the artefact
    behind it holds; `code` maps every module and library that decides the result to its hash or version.
    `label` ("starved/0") tells siblings of one stage apart in explanations and is no part of the id.
    """

    stage: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.stage):
            raise ValueError(f"stage {self.stage!r} must be lower-case letters, digits and _")

    @cached_property
    def document(self) -> dict[str, Any]:
        """What is hashed and kept in the manifest: plain JSON."""
        parts = {"stage": self.stage, "settings": self.settings, "inputs": self.inputs, "code": self.code}
        return dict(json.loads(canonical(parts)))

    @cached_property
    def id(self) -> str:
        """20 hex digits of the SHA-256 of the document."""
        return digest(self.document)[:20]

    @property
    def name(self) -> str:
        """Name of the artefact's directory."""
        return f"{self.stage}-{self.id}"

    def changes_since(self, old: Mapping[str, Any]) -> str:
        """What differs from an older document, settings in the notation of overrides."""
        new = self.document
        changes = setting_changes(old["settings"], new["settings"])
        names = sorted(old["inputs"] | new["inputs"])
        changed = [name for name in names if old["inputs"].get(name) != new["inputs"].get(name)]
        changes += [f"input `{name}` changed" for name in changed]
        return "; ".join(changes + code_identity.changed(old["code"], new["code"]))


def setting_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between settings, each as "policy.beta 0.0 -> 0.2"."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = sorted(key for key in before | after if before.get(key) != after.get(key))
    return [f"{key} {before.get(key, '(unset)')} -> {after.get(key, '(unset)')}" for key in keys]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, json.dumps(value)


def canonical(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces; NaN, infinity and other types are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """Mappings that are no dict are welcome in settings; anything else is refused."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is not a JSON value")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
