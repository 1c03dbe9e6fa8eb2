"""The command: what it prints, how it exits, and that no bad input ends in a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import CHECKOUT

import training.run
from training import cli
from training.config import catalogue
from training.errors import Diverged, Interrupted, UserError
from training.run import Outcome

CONFIG = "name: tiny\nworld: {type: quiz}\nproxies: {starved: {pairs: 20}}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(CONFIG)


def overopt(*arguments: str) -> int:
    """The exit code of the command, run in this process."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(list(arguments))
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def in_subprocess(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.cli", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., int]], list[str]]:
    """Puts a function in the place of the experiment itself; returns the names of what was run."""

    def install(behaviour: Callable[..., int]) -> list[str]:
        names: list[str] = []

        def run(config: Any, *, workers: int | None = None, dry_run: bool = False) -> Outcome:
            names.append(config.name)
            status = behaviour(config, workers, dry_run)
            return Outcome(status, None, "2 of 25 stages failed" if status else "")

        monkeypatch.setattr(training.run, "run", run)
        return names

    return install


# ---------------------------------------------------------------- help


def test_help_is_instant_and_names_every_command() -> None:
    start = time.perf_counter()
    result = in_subprocess("--help")
    assert time.perf_counter() - start < 3  # 0.1 s on an idle machine; importing trl takes longer than this
    assert result.returncode == 0
    assert all(
        command in result.stdout for command in ("run", "report", "audit-rm", "audit-policy", "exact", "list")
    )


def test_the_command_alone_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert overopt() == 0
    assert "Commands:" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "pandas", "hydra", "wandb", "matplotlib")
    code = f"import sys, training.cli; sys.exit(','.join(m for m in {heavy} if m in sys.modules) or 0)"
    result = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


# ---------------------------------------------------------------- exit codes


def test_run_passes_its_options_on(runs: Any) -> None:
    seen: list[tuple[int | None, bool]] = []

    def behaviour(config: Any, workers: int | None, dry_run: bool) -> int:
        seen.append((workers, dry_run))
        return 0

    names = runs(behaviour)
    assert overopt("run", "x.yaml", "seed=3", "--dry-run", "--workers", "4") == 0
    assert overopt("run", "x.yaml") == 0
    assert (seen, names) == ([(4, True), (None, False)], ["tiny-seed=3", "tiny"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Diverged("loss is not finite at step 3"), "loss is not finite at step 3"),
        (UserError("the disk is full"), "the disk is full"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_a_sweep_goes_on_and_ends_with_what_became_of_each(
    runs: Any, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def behaviour(config: Any, *_: Any) -> int:
        if config.seed == 1:
            raise error
        return int(config.seed == 2)

    names = runs(behaviour)
    assert overopt("run", "x.yaml", "seed=range(0,4)") == 1
    assert names == [f"tiny-seed={seed}" for seed in range(4)]
    out, err = capsys.readouterr()
    assert err.endswith(f"tiny-seed=1: {said}\n") and ("Traceback" in err) == ("bug" in said)
    assert [line.split(maxsplit=2) for line in out.splitlines()[-4:]] == [
        ["tiny-seed=0", "done"],
        ["tiny-seed=1", "failed", said],
        ["tiny-seed=2", "failed", "2 of 25 stages failed"],
        ["tiny-seed=3", "done"],
    ]


def test_an_interruption_ends_the_sweep(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def behaviour(config: Any, *_: Any) -> int:
        if config.seed == 1:
            raise Interrupted("interrupted: 3 of 25 stages are kept", 143)
        return 0

    names = runs(behaviour)
    assert overopt("run", "x.yaml", "seed=range(0,3)") == 143
    assert names == ["tiny-seed=0", "tiny-seed=1"]
    out, err = capsys.readouterr()
    assert err == "interrupted: 3 of 25 stages are kept\n"
    assert [line.split()[1:] for line in out.splitlines()[-3:]] == [
        ["done"],
        ["interrupted"],
        ["not", "begun"],
    ]


def raising(error: BaseException) -> Callable[..., int]:
    def behaviour(*_: Any) -> int:
        raise error

    return behaviour


@pytest.mark.parametrize(
    ("behaviour", "code", "said"),
    [
        (lambda *_: 0, 0, ""),
        (lambda *_: 1, 1, ""),
        (raising(Diverged("reward is NaN")), 1, "reward is NaN\n"),
        (raising(UserError("the disk is full")), 2, "the disk is full\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
)
def test_exit_codes_of_run(
    behaviour: Callable[..., int], code: int, said: str, runs: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runs(behaviour)
    assert overopt("run", "x.yaml") == code
    assert capsys.readouterr().err == said


def test_a_bug_keeps_its_traceback(runs: Any) -> None:
    runs(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", "x.yaml"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["run"], "CONFIG"),
        (["run", "x.yaml", "--dry-rum"], "--dry-run"),
        (["run", "x.yaml", "--workers", "0"], "--workers"),
        (["run", "x.yaml", "--workers", "two"], "--workers"),
        (["run", "y.yaml"], "y.yaml: no such file; did you mean x.yaml?"),
        (["run", "x.yaml", "sead=3"], "command line: sead=3: unknown key; did you mean `seed`?"),
        (["run", "x.yaml", "seed=-1"], "(got -1)"),
        (["run", "x.yaml", "seed"], "KEY=VALUE"),
        (["config"], "CONFIG"),
        (["config", "."], "is a folder"),
        (["config", "x.yaml", "world.type=quizz"], "did you mean `quiz`?"),
        (["report", "nowhere"], "nowhere"),
        (["report"], "DIR"),
        (["audit-rm", "nowhere"], "--questions"),
        (["audit-policy", "nowhere", "--questions", "x.yaml", "--limit", "1"], "--limit"),
        (["doctor", "--rns", "x"], "--runs"),
    ],
)
def test_bad_input_gives_a_plain_message_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert overopt(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err
    assert "Traceback" not in output.err and "\x1b" not in output.err


# ---------------------------------------------------------------- config, list


def test_config_prints_what_loads_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert overopt("config", "x.yaml", "seed=7") == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["seed"] == 7
    Path("saved.yaml").write_text(printed)
    assert overopt("config", "saved.yaml") == 0
    assert capsys.readouterr().out == printed


def test_config_of_a_sweep_is_one_document_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert overopt("config", "x.yaml", "seed=1,2") == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [document["name"] for document in documents] == ["tiny-seed=1", "tiny-seed=2"]


def test_schema_is_json_with_every_setting_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert overopt("config", "--schema") == 0
    assert {"world", "proxies", "policy"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_list_describes_every_registered_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert overopt("list") == 0
    printed = capsys.readouterr().out
    for kind, parts in catalogue.catalogue().items():
        assert kind in printed
        for name, description in parts.items():
            assert name in printed and description, f"{kind}: {name} has no description"
            assert description in printed
    assert {"quiz", "text", "enumerable"} <= set(catalogue.catalogue()["worlds"])


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from training.config.catalogue import catalogue; catalogue(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_as_ctrl_c_does(runs: Any, number: signal.Signals, status: int) -> None:
    def behaviour(*_: Any) -> int:
        os.kill(os.getpid(), number)
        return 0

    runs(behaviour)
    before = signal.getsignal(number)
    assert overopt("run", "x.yaml") == status
    assert signal.getsignal(number) == before
