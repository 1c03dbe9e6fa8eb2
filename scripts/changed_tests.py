"""The test files that scripts/check runs: those of what changed since main, one a line."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable
from pathlib import Path

ALWAYS = Path("tests/test_layers.py")
OF_OTHER_FILES = {
    ".yaml": Path("tests/training/config/test_shipped_configs.py"),
    ".md": Path("tests/test_docs.py"),
    ".lock": Path("tests/test_locks.py"),
    ".toml": Path("tests/test_locks.py"),
}


def git(*arguments: str) -> list[str]:
    """Lines that git prints; none where it fails, as outside a clone."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.splitlines()


def changed() -> set[Path]:
    """Files that differ from where this branch left main, committed or not."""
    (base,) = git("merge-base", "HEAD", "main") or ["HEAD"]
    names = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return {Path(name) for name in names}


def module(file: Path) -> str:
    """What a file is called when it is imported; helpers of tests by their bare name."""
    if file.parent == Path("tests/support"):
        return file.stem
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def imported(file: Path) -> set[str]:
    """Modules and names that a file imports, dotted."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def tests_of(files: Iterable[Path], tests: Iterable[Path]) -> set[Path]:
    """Of `tests`, those that `files` concern."""
    sources = {file for file in files if file.suffix == ".py"}
    modules = {module(file) for file in sources}
    mirrored = {Path("tests") / file.parent / f"test_{file.name}" for file in sources}
    others = {OF_OTHER_FILES[file.suffix] for file in files if file.suffix in OF_OTHER_FILES}
    wanted = sources | mirrored | others | {ALWAYS}
    return {test for test in tests if test in wanted or imported(test) & modules}


if __name__ == "__main__":
    for test in sorted(tests_of(changed(), sorted(Path("tests").rglob("test_*.py")))):
        print(test)
