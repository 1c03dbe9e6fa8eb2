"""Supervised fine-tuning leaves a sound network or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import build_world

from reward_models.backbone import Scratch, Sft
from training.errors import Diverged
from training.stages import sft


def test_a_network_that_diverged_in_its_last_step_is_not_saved(tmp_path: Path) -> None:
    """The first step of the warm-up moves nothing; the second, the last, overflows, and no line shows it."""
    with pytest.raises(Diverged, match="at step 2: the step left"):
        sft.train(
            tmp_path,
            model=Scratch(hidden_size=16, layers=1, heads=2),
            sft=Sft(steps=2, batch_size=8, learning_rate=3e38),
            world=build_world(tmp_path / "world"),
            init_seed=0,
            data_seed=0,
            report=lambda *_: None,
        )
    assert not (tmp_path / "model").exists()
