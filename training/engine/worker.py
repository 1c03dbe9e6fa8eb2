"""What a stage runs in: a process made ready for it, and its function, found by name.

This decides results (threads, switches of libraries), so its code is part of every stage's identity.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from training.environment import PRIVATE
from training.stages.task import Task

# One thread per process: results must not depend on how many processes share the machine.
ENVIRONMENT = {
    **PRIVATE,
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
}


def prepare() -> None:
    """Make this process compute as every other does."""
    import torch

    torch.set_num_threads(1)


def work(run: str, task: Task) -> Mapping[str, Any]:
    """Run the stage function "module:name"; returns what it has to say about its result."""
    module, function = run.split(":")
    return getattr(importlib.import_module(module), function)(task) or {}
