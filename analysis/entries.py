"""Parts of one kind by their names; a line of any module may add one: `PROBES["mine"] = Probe(...)`."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from typing import TypeVar

PartT = TypeVar("PartT")


class Entries(UserDict[str, PartT]):
    """A name stands for one part: another under a name that is taken is refused, not put in its place."""

    def __init__(self, kind: str, parts: Mapping[str, PartT]) -> None:
        """`kind`: what one part is called in a message."""
        self.kind = kind
        super().__init__(parts)

    def __setitem__(self, name: str, part: PartT) -> None:
        self.check(name, part)
        super().__setitem__(name, part)

    def check(self, name: str, part: PartT) -> None:
        """Raises ValueError: the name is taken, or is not the part's own."""
        own = getattr(part, "name", name)
        if own != name:
            raise ValueError(f"{self.kind} `{own}` is registered as `{name}`")
        if name in self:
            raise ValueError(f"{self.kind} `{name}` is already registered; give this one another name")
