"""Named random streams: every draw in the project comes from (root seed, role, index)."""

from __future__ import annotations

import hashlib


def stream(seed: int, role: str, *index: int | str) -> int:
    """A 63-bit seed for the stream `role`/`index` under the root `seed`.

    Streams of different roles or indices are independent for all practical purposes, so adding a
    draw in one place never shifts the draws of another.
    """
    name = "/".join([str(seed), role, *map(str, index)])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
