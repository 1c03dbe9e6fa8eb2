"""README and docs: commands parse, links resolve, and configs that are named exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from places import CHECKOUT
from synthetic import write_experiment

from training.cli import app
from training.config.load import load

PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]


def code_lines(page: Path) -> list[str]:
    """Lines of indented and fenced blocks, without comments."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    return lines


COMMANDS = [
    (name, each.strip())
    for name, page in zip(NAMES, PAGES, strict=True)
    for line in code_lines(page)
    if re.match(r"(\.venv/bin/)?overopt ", line)
    for each in line.split(" && ")
]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_relative_links_resolve(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:configs|scripts|tests|docs|training|analysis|reward_models)/[\w./]*)`",
                           page.read_text(encoding="utf-8")))  # fmt: skip
    assert not [name for name in named if not (CHECKOUT / name).exists()]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 10 and {"README.md", "docs/exact.md"} <= {name for name, _ in COMMANDS}


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{p}:{line}"[:60] for p, line in COMMANDS])
def test_commands_mean_something(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    _, name, *arguments = shlex.split(line, comments=True)
    group = typer.main.get_group(app)
    command = group.get_command(typer.Context(group), name)
    assert command is not None, f"there is no command {name}"
    given = command.make_context(name, arguments).params
    if name in ("run", "config") and given.get("config"):
        assert load(given["config"], given["overrides"] or [])


def test_the_readme_reads_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(
        r"(?ms)^```python\n(from analysis import load\n.*?)^```$", PAGES[0].read_text("utf-8")
    )
    records = write_experiment(tmp_path)
    code = code.replace("runs/quickstart", str(records))
    code = code.replace("rloo-path-starved-proxy0", "rloo-path-starved-0-0")
    exec(code, {})
    printed = capsys.readouterr().out
    assert all(column in printed for column in ("run_id", "curve", "prompt"))


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 120
    assert len(PAGES[1].read_text(encoding="utf-8").splitlines()) <= 120
