"""The lock files pin what pyproject.toml asks for and what that needs, and nothing else."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterable
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: list(map(Requirement, each)) for name, each in PROJECT["optional-dependencies"].items()}
WANTED = {
    "requirements.lock": [*map(Requirement, PROJECT["dependencies"]), *EXTRAS["train"]],
    "requirements-dev.lock": EXTRAS["dev"],
}


def pinned(lock: str) -> dict[str, str]:
    lines = (CHECKOUT / lock).read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def needed(wanted: Iterable[Requirement]) -> set[str]:
    """Names of all packages that some platform needs, found in what the packages installed here say."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = list(wanted)
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in found:
            continue
        found.add(key)
        with contextlib.suppress(metadata.PackageNotFoundError):
            todo += [each for each in map(Requirement, metadata.requires(one.name) or []) if asked(each, one)]
    return {name for name, _ in found}


def asked(each: Requirement, one: Requirement) -> bool:
    """Whether `one` needs `each` on some platform, with the extras that it names."""
    if each.marker is None or "extra" not in str(each.marker):
        return True
    return any(each.marker.evaluate({"extra": extra}) for extra in one.extras)


@pytest.mark.parametrize("lock", WANTED)
def test_what_is_asked_for_is_pinned_within_its_range(lock: str) -> None:
    versions = pinned(lock)
    for one in WANTED[lock]:
        assert one.specifier.contains(versions[canonicalize_name(one.name)]), one


@pytest.mark.parametrize("lock", WANTED)
def test_nothing_is_pinned_that_nothing_needs(lock: str) -> None:
    assert not set(pinned(lock)) - needed(WANTED[lock])


def test_users_get_no_tools_of_developers() -> None:
    assert not set(pinned("requirements.lock")) & set(pinned("requirements-dev.lock"))
    assert "pytest" not in needed(WANTED["requirements.lock"])
