"""The libraries report to nobody, although nothing says that the machine is offline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    calls, disabled = result.stderr.splitlines()[-1].split()
    assert (calls == "0", disabled) == (user is None, str(user is None)), result.stderr
