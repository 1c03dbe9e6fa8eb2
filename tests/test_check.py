"""scripts/check runs the tests of what changed, and few others."""

from __future__ import annotations

from pathlib import Path

import changed_tests
import pytest
from places import CHECKOUT

TESTS = sorted(file.relative_to(CHECKOUT) for file in (CHECKOUT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ("training/sampling/kl.py", "tests/training/sampling/test_kl.py"),  # stands where it stands
        ("training/sampling/kl.py", "tests/conformance/test_estimators.py"),  # imports it
        ("tests/support/judging.py", "tests/reward_models/annotators/test_kinds.py"),  # imports the helper
        ("tests/analysis/pool/test_exact.py", "tests/analysis/pool/test_exact.py"),  # is it
        ("configs/quiz.yaml", "tests/training/config/test_shipped_configs.py"),
        ("README.md", "tests/test_docs.py"),
        ("requirements.lock", "tests/test_locks.py"),
        ("LICENSE", "tests/test_layers.py"),  # always
    ],
)
def test_a_change_brings_its_tests(changed: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    found = changed_tests.tests_of([Path(changed)], TESTS)
    assert Path(wanted) in found
    assert len(found) < len(TESTS) / 3
