"""What a plan is made of: stages, the policies they belong to, and where the records find them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from training.store.identity import Identity, digest

# Of a further table of points the kind is its type.
WORDS = {
    "world": "build the world",
    "prompts": "draw prompts to",
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
    "audit": "audit",
}


@dataclass(frozen=True)
class Stage:
    """One step of an experiment. What it makes is named when its inputs are there: by what they hold."""

    kind: str
    settings: Mapping[str, Any]
    """JSON values."""
    run: str
    """Its function, as "module:name"."""
    code: Mapping[str, str]
    """Module or library → hash or version, of all that decides the result."""
    label: str
    """Tells it from others of its kind, for people."""
    inputs: Mapping[str, Stage]
    gold_side: bool
    """Whether it may read gold; such stages never share a process with training a policy."""

    @cached_property
    def key(self) -> str:
        """Unique in a plan: stages that would make the same thing of the same things are one."""
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        return f"{self.kind}-{digest([self.kind, self.settings, self.code, inputs])[:12]}"

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.kind} {self.label}".strip()

    @property
    def words(self) -> str:
        """What it does, in words."""
        return f"{WORDS.get(self.kind, f'make the {self.kind} of')} {self.label}".strip()

    def identity(self, contents: Mapping[str, str]) -> Identity:
        """What names its artefact, given the hash of what each input holds, by the input's name."""
        return Identity(self.kind, self.settings, contents, self.code, self.label)


def log_name(stage: Stage) -> str:
    """The file among an experiment's logs in which what a stage prints is kept."""
    return f"{re.sub(r'[^A-Za-z0-9.=-]+', '-', stage.title)}.log"


@dataclass(frozen=True)
class Scored:
    """Samples and all that values them."""

    samples: Stage
    scores: tuple[Stage, ...]
    """One stage per scorer, gold first."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The samples, then the scores."""
        return self.samples, *self.scores


@dataclass(frozen=True)
class PlannedRun:
    """One policy: its row in the records, and its points with their scores."""

    row: Mapping[str, Any]
    points: Scored
    between: Scored | None = None
    """The policies interpolated between its checkpoints; None where no weights are kept."""

    @property
    def train(self) -> Stage:
        """What trains it."""
        return self.points.samples

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that are this run's alone."""
        return *self.points.stages, *(self.between.stages if self.between else ())


@dataclass
class Plan:
    """All stages in an order in which they can run, and where the records find them."""

    stages: list[Stage] = field(default_factory=list)
    world: Stage = field(init=False)
    prompts: dict[str, Stage] = field(default_factory=dict)
    """By role, the prompts that are measured: `eval`, and `pool` where there is one."""
    cards: list[Stage] = field(default_factory=list)
    audits: list[Stage] = field(default_factory=list)
    """One per scorer."""
    reference: Scored | None = None
    pool: Scored | None = None
    runs: list[PlannedRun] = field(default_factory=list)
    plugins: tuple[str, ...] = ()
    """What a process must import before it can run any of them."""
