"""The base of every configured part: a frozen, fully checked record of its own settings."""

from __future__ import annotations

import os
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))


Location = Annotated[str, AfterValidator(_expanded)]
"""A local path, with `~` and environment variables in it resolved, or a name on the Hub."""


class Component(BaseModel):
    """Frozen settings plus the behaviour they configure; unknown keys are refused.

    Heavy libraries are imported inside methods, so reading a config never loads torch.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Part(Component):
    """A component of which there are variants, each with a literal of its own as `type` (see `registry`)."""

    type: str
