"""Scores of points: what is written, and what stops."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from rollouts import job, make_home, method
from safetensors.torch import load_file, save_file

from reward_models.gold import Programmatic
from training.errors import Diverged
from training.stages.score import Scorer
from training.worlds.built_world import BuiltWorld


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world, a policy's points under `run`, and a proxy."""
    home = make_home(tmp_path_factory.mktemp("home"))
    method(steps=1).train(job(home, home / "run", steps=1, measure=True))
    return home


def scorer(home: Path, proxy: Path) -> Scorer:
    return Scorer(BuiltWorld(home / "world"), Programmatic(), home, {"proxy/ample/0": proxy}, 64)


def test_every_sample_is_scored_by_every_scorer(home: Path, tmp_path: Path) -> None:
    point = home / "run" / "points" / "000001"
    scorer(home, home / "proxy").score(point, BuiltWorld(home / "world").prompts("eval"), tmp_path)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    samples = pd.read_parquet(point / "samples.parquet")
    for name in ("gold", "oracle", "proxy/ample/0"):
        assert set(scores[scores["scorer"] == name]["item_id"]) == set(samples["item_id"])
    wide = scores.pivot(index=["item_id", "sample_id"], columns="scorer", values="value")
    assert (wide["gold"] == wide["oracle"]).all()  # the programmatic gold is the oracle


def test_a_score_that_is_not_finite_stops_and_names_scorer_and_point(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "proxy"
    broken.mkdir()
    for file in (home / "proxy").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"] = torch.full_like(weights["score.weight"], float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    items = BuiltWorld(home / "world").prompts("eval")
    with pytest.raises(Diverged, match="proxy/ample/0 gave 000001 a value that is not a finite number"):
        scorer(home, broken).score(home / "run" / "points" / "000001", items, tmp_path / "out")
    assert not (tmp_path / "out").exists()
