"""The libraries that training needs, and what they read from the environment. This module imports none."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

from training.errors import UserError

TRAIN = ("torch", "trl", "transformers", "datasets", "accelerate")
"""What the extra `train` installs."""

PRIVATE = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
"""No library reports home: read at import, so set before anything else."""


def apply(variables: Mapping[str, str]) -> None:
    """Set those that the user has not set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def require(command: str) -> None:
    """Raise UserError unless all of `TRAIN` are installed."""
    if missing := ", ".join(name for name in TRAIN if importlib.util.find_spec(name) is None):
        raise UserError(f"overopt {command} needs {missing}: pip install -e '.[train]'")
