"""A Hub id becomes a commit, once, wherever it stands in a config; what is local or pinned stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import CHECKOUT

from training.config.hub import pinned
from training.config.schema import Experiment
from training.errors import UserError

SHA = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub, the only thing that can be asked."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def downloaded(cache: Path, kind: str, name: str, commit: str = SHA, *, ref: bool = True) -> None:
    folder = cache / f"{kind}s--{name.replace('/', '--')}"
    (folder / "snapshots" / commit).mkdir(parents=True)
    if ref:
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)


def experiment(**changes: Any) -> Experiment:
    config: dict[str, Any] = {
        "name": "x",
        "world": {"type": "text", "path": "org/data", "tokenizer": {"type": "pretrained", "path": "gpt2"}},
        "gold": {"type": "pretrained", "path": "org/gold"},
        "reference": {"model": {"type": "pretrained", "path": "gpt2"}},
        "proxies": {"one": {"pairs": 30, "model": {"type": "pretrained", "path": "gpt2", "revision": "v1"}}},
    }
    return Experiment.model_validate(config | changes)


def test_every_id_gets_the_commit_of_its_kind(cache: Path) -> None:
    downloaded(cache, "dataset", "org/data", OTHER)
    downloaded(cache, "model", "gpt2")
    downloaded(cache, "model", "org/gold", ref=False)  # fetched by its commit: the only one there is
    config = pinned(experiment()).model_dump(mode="json")
    assert config["world"]["revision"] == OTHER
    assert config["world"]["tokenizer"]["revision"] == SHA
    assert config["reference"]["model"]["revision"] == config["gold"]["revision"] == SHA
    assert config["proxies"]["one"]["model"]["revision"] == "v1"
    assert pinned(Experiment.model_validate(config)) == Experiment.model_validate(config)


def test_nothing_local_is_asked_for(cache: Path) -> None:
    for folder in ("gpt2", "org/gold"):
        Path(folder).mkdir(parents=True)
    config = experiment(
        world={"type": "text", "path": "pairs.jsonl", "tokenizer": {"type": "pretrained", "path": "./gpt2"}},
    )
    assert pinned(config) == config
    quiz = Experiment.model_validate({"name": "x", "world": {"type": "quiz"}, "proxies": {"a": {"pairs": 9}}})
    assert pinned(quiz) is quiz


def test_an_id_that_nobody_knows_is_an_error_with_its_place(cache: Path) -> None:
    downloaded(cache, "dataset", "org/data")
    downloaded(cache, "model", "org/gold")
    with pytest.raises(UserError, match=r"^world\.tokenizer\.path: there is no `gpt2` on this.*OFFLINE"):
        pinned(experiment())
    assert pinned(experiment(), must=False).reference.model.model_dump()["revision"] is None


def test_among_several_commits_without_a_ref_none_is_chosen(cache: Path) -> None:
    downloaded(cache, "model", "org/gold", SHA, ref=False)
    downloaded(cache, "model", "org/gold", OTHER, ref=False)
    config = experiment(world={"type": "text", "path": "a.csv"}, reference={}, proxies={"one": {"pairs": 30}})
    with pytest.raises(UserError, match=r"^gold\.path"):
        pinned(config)


def test_resolving_loads_no_torch(cache: Path) -> None:
    code = "import sys, training.config.hub, huggingface_hub.hf_api; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0
