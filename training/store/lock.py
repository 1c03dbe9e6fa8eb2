"""A lock between processes that the kernel releases when its owner dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from training.errors import UserError

log = logging.getLogger(__name__)


class InUse(UserError):
    """Another process holds the lock; the message says which."""


@contextlib.contextmanager
def locked(path: Path, wait: bool) -> Iterator[None]:
    """Hold the lock file `path`, which is created and never removed.

    Args:
        path: of the lock file; it holds the pid of the latest owner.
        wait: wait for the present owner rather than refuse.

    Raises:
        InUse: if another process (or another thread) holds it and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    _held.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode() or "unknown"
            if not wait:
                message = f"{path.stem} is in use by pid {owner}; wait for it or stop it ({path})"
                raise InUse(message) from None
            log.warning("waiting for %s, in use by pid %s", path.stem, owner)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


# A forked child shares its parent's locks and would keep them past the parent's death.
_held: set[int] = set()


def _release_in_child() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_release_in_child)
