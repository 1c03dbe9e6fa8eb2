"""Models and data sets by their id on the Hugging Face Hub: a config without a revision gets one here.

An id alone names whatever the Hub holds today. The commit that it stood for goes into the recorded config,
and into the identity of all that was made with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from reward_models.component import Component
from training.config.schema import Experiment
from training.errors import UserError
from training.worlds.base import World
from training.worlds.text.read_rows import is_local

RepoType = Literal["model", "dataset"]

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SECONDS = 10
"""For an answer of the Hub, before this machine's cache is asked."""


def pinned(config: Experiment, *, must: bool = True) -> Experiment:
    """The config with a commit as `revision` wherever a `path` is an id of the Hub and none was given.

    Args:
        must: whether an id that cannot be resolved is an error; otherwise it stays as it is.

    Raises:
        UserError: neither the Hub nor this machine's cache knows a commit of an id.
    """
    found: Experiment = _pinned(config, "", must)
    return found


def _pinned(value: Any, place: str, must: bool) -> Any:
    if isinstance(value, dict):
        return {key: _pinned(part, f"{place}.{key}", must) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_pinned(part, f"{place}.{index}", must) for index, part in enumerate(value))
    if not isinstance(value, Component):
        return value
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    changed = {
        name: new
        for name, old in fields.items()
        if (new := _pinned(old, f"{place}.{name}".lstrip("."), must)) != old
    }
    if {"path", "revision"} <= fields.keys() and fields["revision"] is None:
        kind: RepoType = "dataset" if isinstance(value, World) else "model"
        revision = _commit(fields["path"], kind, place, must)
        changed |= {"revision": revision} if revision else {}
    return value.model_copy(update=changed) if changed else value


def _commit(name: str, kind: RepoType, place: str, must: bool) -> str | None:
    """The commit that an id stands for, None where `name` is no id; online if possible, else as cached."""
    if is_local(name) or not _ID.fullmatch(name):
        return None
    try:
        return _answer_of_hub(name, kind) or _cached_commit(name, kind)
    except _Unknown as error:
        if commit := _cached_commit(name, kind):
            return commit
        if not must:
            return None
        raise UserError(
            f"{place}.path: there is no `{name}` on this machine, and as a {kind} of the Hugging Face Hub it "
            f"could not be resolved: {error}. Correct the path, or set {place}.revision to a cached commit"
        ) from error


class _Unknown(Exception):
    """The Hub gave no answer; says why."""


def _answer_of_hub(name: str, kind: RepoType) -> str | None:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
    except ImportError as error:
        raise _Unknown("huggingface_hub is not installed") from error
    try:
        return HfApi().repo_info(name, repo_type=kind, timeout=_SECONDS).sha
    except OfflineModeIsEnabled as error:
        raise _Unknown("HF_HUB_OFFLINE is set, and this machine's cache has no commit of it") from error
    except HFValidationError as error:
        raise _Unknown("that is not how an id is written") from error
    except HfHubHTTPError as error:
        raise _Unknown(f"the Hub says: {str(error).strip().partition(chr(10))[0]}") from error
    except (HTTPError, OSError) as error:
        raise _Unknown("the Hub cannot be reached, and this machine's cache has no commit of it") from error


def _cached_commit(name: str, kind: RepoType) -> str | None:
    """What `main` was when it was last downloaded; else the one commit there is."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    folder = Path(constants.HF_HUB_CACHE) / f"{kind}s--{name.replace('/', '--')}"
    main = folder / "refs" / "main"
    if main.is_file():
        return main.read_text().strip()
    snapshots = [path.name for path in (folder / "snapshots").glob("*")]
    return snapshots[0] if len(snapshots) == 1 else None
