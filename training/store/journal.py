"""metrics.jsonl: one line per optimiser step, flushed at once, so that others can follow a running stage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Writes metrics.jsonl; called as a training stage's `report`."""

    def __init__(self, path: Path, on_step: Callable[[], None] | None = None) -> None:
        """Open `path`; what an earlier, killed attempt left there is kept until `keep_until` is called.

        Args:
            on_step: called after each line, for whoever shares this process and wants to look around.
        """
        self.path, self.on_step = path, on_step
        self.file = path.open("a", encoding="utf-8")

    def keep_until(self, step: int) -> None:
        """Drop the lines after `step`: the attempt that wrote them is continued from there."""
        kept = [line for line in follow(self.path, 0)[0] if line["step"] <= step]
        self.file.close()
        self.file = self.path.open("w", encoding="utf-8")
        for line in kept:
            self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Append one step of `total`, with its metrics and the time in seconds since 1970."""
        line = {"step": step, "total": total, "time": round(time.time(), 3), **metrics}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if self.on_step:
            self.on_step()


def follow(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The complete lines of a journal from byte `offset` on, and the offset after them.

    A last line still being written is left for the next call. A file in which no line ends before `offset`
    was written anew (`Journal.keep_until`), and is read anew, however long it has become since.
    """
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        if offset:
            file.seek(offset - 1)
            if file.read(1) != b"\n":
                offset = 0
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    return [json.loads(line) for line in data[:end].splitlines()], offset + end
