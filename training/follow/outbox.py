"""What W&B is to be told of one run: a file of JSON lines that only grows and holds everything once.

The experiment appends, `training.follow.wandb_process` follows. The file stays when both have ended, so a
later run of the same experiment adds only what is new, and what never arrived can be sent again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.store.journal import follow


class Outbox:
    """The lines for one run: `open` first, then `metrics` and `point` by step, and `close`.

    Raises OSError if the file cannot be read or written, ValueError if it holds no JSON lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines, end = follow(path, 0)
        if path.exists():
            os.truncate(path, end)  # of a line that a killed process left half written
        self.last = lines[-1] if lines else None
        self.written = {(line["call"], line.get("step")) for line in lines}

    @property
    def ended(self) -> bool:
        """Whether the run is over and all of it is here."""
        return self.last is not None and self.last["call"] == "close" and not self.last["failed"]

    def add(self, call: str, **values: Any) -> None:
        """Append a line that is not there yet. TypeError or ValueError if JSON cannot carry `values`."""
        line = {"call": call, **values}
        key = (call, values.get("step"))
        if self.ended or line == self.last or (call != "close" and key in self.written):
            return
        text = json.dumps(line, default=_plain) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
        self.last = line
        self.written.add(key)


def _plain(value: Any) -> Any:
    """NumPy scalars as numbers, anything else in words: a strange value is no reason to fail."""
    return value.item() if hasattr(value, "item") else str(value)
