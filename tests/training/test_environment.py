"""Libraries that report to nobody, though nothing says that the machine is offline, or are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import CHECKOUT

CODE = """
import socket, sys, time
calls = []

def refused(*arguments, **_):
    calls.append(arguments)
    raise OSError("no network here")

socket.getaddrinfo = socket.socket.connect = refused
from training import cli
try:
    cli.main(["list"])
except SystemExit:
    pass
import training.stages.gold, trl
from trl import RewardTrainer
from huggingface_hub import constants
from huggingface_hub.utils import send_telemetry
send_telemetry("trl/RewardTrainer", library_name="trl")  # what every trainer of TRL does
time.sleep(0.5)
print(len(calls), constants.HF_HUB_DISABLE_TELEMETRY, file=sys.stderr)
"""


@pytest.mark.parametrize("user", [None, "0"])
def test_no_library_reports_home_unless_the_user_wants_it(user: str | None) -> None:
    names = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": user} if user else {}
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    calls, disabled = result.stderr.splitlines()[-1].split()
    assert (calls == "0", disabled) == (user is None, str(user is None)), result.stderr


WITHOUT_TRAINING = """
import sys
from importlib.machinery import PathFinder

class BaseInstall(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        training = {"torch", "trl", "transformers", "datasets", "accelerate", "wandb"}
        return None if name.partition(".")[0] in training else super().find_spec(name, path, target)

sys.meta_path = [BaseInstall if finder is PathFinder else finder for finder in sys.meta_path]
from training.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "configs/smoke.yaml"], 2, "overopt run needs torch, trl, transformers"),
        (["exact", "x"], 2, "overopt exact needs torch"),
        (["audit-rm", "x", "--questions", "x"], 2, "overopt audit-rm needs torch"),
        (["audit-policy", "x", "--questions", "x"], 2, "overopt audit-policy needs torch"),
        (["report", "nowhere"], 2, "nowhere/experiment.json: no such file"),
        (["run", "configs/quickstart.yaml", "--dry-run"], 0, "stages would run"),
        (["config", "configs/quickstart.yaml"], 0, "name: quickstart"),
        (["list"], 0, "annotators"),
    ],
)
def test_a_base_install_does_all_but_train(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    if arguments[0] == "run":
        arguments = [*arguments, f"paths.runs={tmp_path}/runs"]
    command = [sys.executable, "-c", WITHOUT_TRAINING, *arguments]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    output = result.stderr if code else result.stdout
    assert result.returncode == code and said in output, result.stdout + result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "runs").exists()
    if arguments[0] not in ("report", "config", "list") and code:
        assert output.count("\n") == 1 and output.endswith("pip install -e '.[train]'\n")
