"""`overopt doctor`: what it finds on this machine, and what it never says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from training import cli, doctor


def _status() -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["doctor"])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_doctor_reports_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.show(doctor.examine(Path("runs")))
    lines = capsys.readouterr().out.splitlines()
    assert all(": " in line and "\x1b" not in line for line in lines)
    names = [line.partition(":")[0] for line in lines]
    assert {"python", "torch", "memory", "disk", "records", "Weights & Biases"} <= set(names)
    assert not Path("runs").exists()


def test_doctor_never_shows_the_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "01234567")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    _status()
    output = capsys.readouterr().out
    assert "online" in output and "0123456789abcdef" not in output


def test_doctor_without_torch_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = doctor.metadata.version

    def base_install(name: str) -> str:
        if name in doctor.TRAIN:
            raise doctor.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor.metadata, "version", base_install)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert _status() == 1
    assert "torch: not installed; pip install -e '.[train]'" in capsys.readouterr().out


def test_doctor_refuses_a_place_where_records_cannot_be_kept() -> None:
    findings = doctor.examine(Path("/proc/runs"))
    assert any(finding.name == "records" and finding.needed and finding.advice for finding in findings)
