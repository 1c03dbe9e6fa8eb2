"""Scores of points: what is written, and what stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from drawn_worlds import inputs
from rollouts import job, make_home, method
from safetensors.torch import load_file, save_file

from training.errors import Diverged
from training.follow.points import add_point
from training.stages.score import score_points
from training.stages.task import Task
from training.store.journal import Journal

PROXY = "proxy/ample/0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world, a policy's points under `run`, and a proxy."""
    home = make_home(tmp_path_factory.mktemp("home"))
    method(steps=1).train(job(home, home / "run", steps=1, measure=True))
    return home


def scored(home: Path, out: Path, scorer: str, **settings: Any) -> Path:
    """Folder of the points as the stage leaves them; the scorer's model is `out`/given, if it needs one."""
    models = {"gold": {"gold": out / "given"}, PROXY: {"proxy": out / "given"}}.get(scorer, {})
    given = {**inputs(home / "world"), "samples": home / "run", **models}
    folder = out / scorer
    task = Task(folder, {"batch_size": 64, "scorer": scorer, **settings}, given, Journal(out / "journal"))
    score_points(task)
    return folder / "points"


def give(proxy: Path, out: Path) -> None:
    """Make the model in a folder the one that `scored` reads."""
    (out / "given").mkdir()
    (out / "given" / "model").symlink_to(proxy)


def test_every_sample_of_every_point_is_scored_by_every_scorer(home: Path, tmp_path: Path) -> None:
    give(home / "proxy", tmp_path)
    folders = [
        scored(home, tmp_path, "gold", gold={"type": "programmatic"}),
        scored(home, tmp_path, "oracle"),
        scored(home, tmp_path, PROXY),
    ]
    points = sorted((home / "run" / "points").iterdir())
    assert [point.name for point in points] == ["000000", "000001"]
    for point in points:
        record = tmp_path / "record" / point.name
        add_point(point, [folder / point.name for folder in folders], record)
        samples, scores = (pd.read_parquet(record / f"{name}.parquet") for name in ("samples", "scores"))
        assert (record / "samples.parquet").samefile(point / "samples.parquet")
        for name in ("gold", "oracle", PROXY):
            assert set(scores[scores["scorer"] == name]["item_id"]) == set(samples["item_id"])
        assert len(scores) == 3 * len(samples)
        wide = scores.pivot(index=["item_id", "sample_id"], columns="scorer", values="value")
        assert (wide["gold"] == wide["oracle"]).all()  # the programmatic gold is the oracle
        assert wide[PROXY].nunique() > 2


def test_a_score_that_is_not_finite_stops_and_names_scorer_and_point(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "proxy"
    broken.mkdir()
    for file in (home / "proxy").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"] = torch.full_like(weights["score.weight"], 3e38)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    give(broken, tmp_path)
    with pytest.raises(Diverged, match="proxy/ample/0 gave 000000 a value that is not a finite number"):
        scored(home, tmp_path, PROXY)
    assert not list(tmp_path.rglob("scores.parquet"))
