"""What a plan is made of: stages, the runs they belong to, and where the records find them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.store.identity import Identity

WORDS = {
    "world": "build the world",
    "sft": "fine-tune",
    "pairs": "sample pairs for",
    "gold": "train gold",
    "values": "value pairs with gold:",
    "labels": "label pairs for",
    "proxy": "train proxy",
    "control": "copy gold as proxy",
    "card": "check proxy",
    "reference": "sample what π_ref knows",
    "pool": "sample the best-of-n pool",
    "policy": "optimise",
    "between": "interpolate the checkpoints of",
    "scores": "score",
    "audit": "audit the reward models",
}


@dataclass(frozen=True)
class Stage:
    """One step of an experiment."""

    identity: Identity
    run: str
    """Its function, as "module:name"."""
    inputs: Mapping[str, Stage]
    gold_side: bool
    """Whether it may read gold; such stages never share a process with training a policy."""

    @property
    def name(self) -> str:
        """Directory name of its artefact, unique in an experiment."""
        return self.identity.name

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.identity.stage} {self.identity.label}".strip()

    @property
    def words(self) -> str:
        """What it does, in words."""
        return f"{WORDS[self.identity.stage]} {self.identity.label}".strip()


@dataclass(frozen=True)
class PlannedRun:
    """One policy: its row in the records, the stage that trains it and the one that scores it."""

    row: Mapping[str, Any]
    train: Stage
    score: Stage
    between: tuple[Stage, Stage] | None = None
    """What interpolates its checkpoints, and what scores the result; None where no weights are kept."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that are this run's alone."""
        return self.train, self.score, *(self.between or ())


@dataclass
class Plan:
    """All stages in an order in which they can run, and where the records find them."""

    stages: list[Stage] = field(default_factory=list)
    world: Stage = field(init=False)
    gold: Stage = field(init=False)
    cards: list[Stage] = field(default_factory=list)
    audit: Stage | None = None
    reference: tuple[Stage, Stage] | None = None
    pool: tuple[Stage, Stage] | None = None
    runs: list[PlannedRun] = field(default_factory=list)
