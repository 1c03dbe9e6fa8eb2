"""The laboratory that all conformance tests share, and what they measured."""

from __future__ import annotations

import pytest
from laboratory import Laboratory


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """One world, π_ref and proxy; for reading only."""
    return Laboratory.build(tmp_path_factory.mktemp("laboratory"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how far each trainer stays from the optimum, whatever the outcome."""
    measured = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == "conformance"
    ]
    if measured:
        terminalreporter.section("conformance")
        for line in dict.fromkeys(measured):  # set-up and tear-down report it as well
            terminalreporter.write_line(str(line))
