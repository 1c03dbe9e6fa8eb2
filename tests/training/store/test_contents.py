"""Files outside the store count by what lies there, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from reward_models.backbone import Pretrained
from training.store.contents import contents, contents_named_in


@pytest.fixture(autouse=True)
def fresh() -> None:
    contents.cache_clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory that holds a model's folder."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MODELS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["~/model", "$MODELS/model", "${HOME}/model"])
def test_a_path_is_what_it_stands_for(home: Path, name: str) -> None:
    settings = {"model": Pretrained(path=name).model_dump()}
    assert contents_named_in(settings) == {str(home / "model"): contents(str(home / "model"))}


def test_a_folder_counts_by_its_files(home: Path) -> None:
    before = contents(str(home / "model"))
    contents.cache_clear()
    (home / "model" / "more.json").write_text("{}")
    assert before and contents(str(home / "model")) not in (before, None)


def test_the_same_files_elsewhere_are_the_same(home: Path) -> None:
    (home / "other").mkdir()
    (home / "other" / "config.json").write_text("{}")
    assert contents(str(home / "other")) == contents(str(home / "model"))


def test_a_name_on_the_hub_has_no_contents_here(home: Path) -> None:
    assert contents_named_in({"gold": {"path": "org/no-such-model"}}) == {}
