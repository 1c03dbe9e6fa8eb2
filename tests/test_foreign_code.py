"""Code that comes with a model is never run, whoever is asked and whatever is answered."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from places import CHECKOUT
from tiny import plant_code

from reward_models.errors import UserError
from training.audit.chat_format import Dialogue
from training.audit.measure import _check_is_language_model
from training.worlds.text.tokenizer import PretrainedTokenizer

PACKAGES = ("training", "reward_models", "analysis")


def loads() -> list[tuple[str, ast.Call]]:
    """Every call of `from_pretrained` in the sources, with its place."""
    return [
        (f"{file.relative_to(CHECKOUT)}:{node.lineno}", node)
        for package in PACKAGES
        for file in sorted((CHECKOUT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "from_pretrained"
    ]


def refuses(call: ast.Call) -> bool:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    answer = given.get("trust_remote_code")
    return isinstance(answer, ast.Constant) and answer.value is False


def test_every_load_refuses_code_in_so_many_words() -> None:
    """Without the argument transformers asks the person at the terminal, and takes a piped "y" for a yes."""
    assert len(loads()) > 10
    assert not [place for place, call in loads() if not refuses(call)]


@pytest.mark.parametrize(
    "read",
    [
        _check_is_language_model,
        lambda folder: Dialogue.of(folder, None),
        lambda folder: PretrainedTokenizer(path=str(folder)).build([]),
    ],
    ids=["a policy to audit", "how it writes dialogues", "a tokenizer"],
)
def test_a_model_with_code_is_one_clear_refusal(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = plant_code(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    with pytest.raises(UserError, match="code that comes with a model is never run"):
        read(tmp_path)
    assert not ran.exists()
