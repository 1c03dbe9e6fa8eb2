"""Files that appear whole or not at all, and are still there after a power cut."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving without an error it durably takes the place of `path`.

    Raises:
        UserError: if the disk is full or read-only; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file durably and at once."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (NaN and infinity are refused), indented, durably and at once."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_bytes())


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file's content, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: Path, target: Path) -> None:
    """Make the file `source` appear as `target`: a hard link, or a copy where those do not work."""
    with disk_errors(target):
        # rename() between two names of one file does nothing and would leave the temporary name.
        if target.exists() and target.samefile(source):
            return
        with replacing(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                shutil.copyfile(source, temporary)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a message that names the path and what would help."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(no_space(path, where)) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise UserError(
                f"cannot write {where}: {os.strerror(error.errno)}; set paths.store and paths.runs to a "
                "directory that you may write to"
            ) from error
        raise


def no_space(path: Path, where: Path | str | None = None) -> str:
    """What to tell the user when the disk of `path` is full; `where` is the file that found no room."""
    return (
        f"no space left to write {where or path}: {_free(path)}; make room, or set paths.store and "
        "paths.runs to a larger disk. Finished work is kept: the same command continues"
    )


def is_full(path: Path, error: Exception) -> bool:
    """Whether `error`, of a library that does not raise OSError, comes from a full disk."""
    return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(path).free < 2**20


def _free(path: Path) -> str:
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    return f"{shutil.disk_usage(existing).free / 2**20:.0f} MiB are free on the disk of {existing}"
