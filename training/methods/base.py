"""What all methods share: which controls they can follow, and settings handed on to a trainer of TRL."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator

from reward_models import trl_arguments
from reward_models.component import Part
from training.mitigations.seams import SEAMS, Seam

if TYPE_CHECKING:
    from training.methods.job import PolicyJob


class Method(Part, ABC):
    """How a policy is optimised against one proxy."""

    implementation: ClassVar[str]
    """Module and name of the function that makes a policy by it, as "module:function": it is called with the
    method and its `PolicyJob`. Settings import no trainer, and so no torch."""
    refused_controls: ClassVar[dict[str, str]] = {}
    """Type of a control that this method cannot follow → the reason."""
    takes_steps: ClassVar[bool] = True
    """Whether it takes gradient steps."""

    if TYPE_CHECKING:  # a field of some methods, and worked out by others

        @property
        @abstractmethod
        def steps(self) -> int:
            """Optimiser steps at most."""

    @property
    def lacks(self) -> Mapping[Seam, str]:
        """Seams at which no mitigation could act → the reason, to be read after the method's name."""
        return {}

    @property
    def seams(self) -> frozenset[Seam]:
        """Seams at which a mitigation can act."""
        return SEAMS - self.lacks.keys()

    @property
    def reads_annotator(self) -> bool:
        """Whether it learns from the annotator's own labels and never asks the proxy."""
        return False

    def against(self, pairs: int) -> Self:
        """The method as it is against a proxy that was trained on so many pairs."""
        return self

    def problems(self) -> list[str]:
        """Combinations of its settings that cannot work, each with its reason."""
        return []

    def train(self, job: PolicyJob) -> None:
        """Make one policy; leaves points, metrics.jsonl and the final weights under `job.out`."""
        pkgutil.resolve_name(self.implementation)(self, job)


class TrainedMethod(Method):
    """A method that takes gradient steps through one of TRL's trainers."""

    trl_config: ClassVar[str]
    """TRL's dataclass of the trainer's arguments, by its name inside `trl`."""
    trl_fields: ClassVar[frozenset[str]] = frozenset()
    """TRL's names of arguments for which the method has fields of its own."""

    learning_rate: float = Field(2e-4, gt=0)
    """Constant AdamW step size; it sets how fast a path runs through KL."""
    checkpoint_every: int = Field(0, ge=0, strict=True)
    """Steps between resumable checkpoints of a run; 0 keeps none, and a killed run starts anew."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of TRL's trainer under TRL's own names."""

    @field_validator("trainer")
    @classmethod
    def _known_to_trl(cls, value: dict[str, Any]) -> dict[str, Any]:
        trl_arguments.check(value, cls.trl_config, cls.trl_fields)
        return value

    @property
    @abstractmethod
    def examples_per_step(self) -> int:
        """Sequences, pairs or prompts of one optimiser step, in the unit that TRL batches by."""

    def problems(self) -> list[str]:
        accumulation = self.trainer.get("gradient_accumulation_steps", 1)
        if self.examples_per_step % accumulation:
            return [
                f"the {self.examples_per_step} examples of a step cannot be split by "
                f"trainer.gradient_accumulation_steps = {accumulation}"
            ]
        return []
