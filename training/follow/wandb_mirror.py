"""The W&B mirror: shows the records live, in a process of its own, and can never harm the experiment.

The caller's side only queues small JSON messages for `training.follow.wandb_process`. A server out of reach,
a full disk, a killed wandb or a killed mirror costs the mirror its data and the experiment nothing.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import json
import netrc
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from training.config.tracking import Tracking
from training.follow import wandb_process

QUEUED = 10_000
"""Messages that wait for a slow mirror before further ones are dropped (and counted)."""


class Decision(NamedTuple):
    """What to do, and why if that needs a word."""

    mode: Literal["online", "offline", "disabled"]
    reason: str | None


def decide(mode: str) -> Decision:
    """Resolve `Tracking.mode` against the environment, without importing wandb and without asking anyone."""
    environment = os.environ.get("WANDB_MODE", "").lower()
    if mode == "disabled" or environment == "disabled":
        return Decision("disabled", None)
    if importlib.util.find_spec("wandb") is None:
        return Decision("disabled", "wandb is not installed")
    if mode == "offline" or environment in ("offline", "dryrun"):
        return Decision("offline", None)
    if not _has_key():
        return Decision("offline", "no API key is configured (`wandb login`)")
    return Decision("online", None)


def _has_key() -> bool:
    """Whether wandb would find a key for the server it is configured for."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = configparser.ConfigParser()
    folder = os.environ.get("WANDB_CONFIG_DIR", "~/.config/wandb")
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        settings.read(Path(folder).expanduser() / "settings")
    configured = settings.get("default", "base_url", fallback="https://api.wandb.ai")
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or configured).netloc
    candidates = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for path in candidates:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            return netrc.netrc(Path(path).expanduser()).authenticators(host) is not None
    return False


class Mirror:
    """Sends an experiment's records to W&B: one W&B run per policy, all in the experiment's group.

    Every method returns at once and never raises. Use as a context manager; leaving it waits for uploads,
    up to `finish_seconds`, and says in one line if something did not arrive.

    Args:
        tracking: where to.
        experiment_dir: the experiment's directory; its name is the group, W&B's files go to `wandb/` in it.
        config: the resolved config, kept with every run under the key `overopt`.
        say: prints a line to the user.
        init_seconds: how long a W&B run may take to start before the mirror goes on offline.
        finish_seconds: how long leaving may take before the mirror is stopped.
    """

    def __init__(
        self,
        tracking: Tracking,
        experiment_dir: Path,
        config: Mapping[str, Any],
        *,
        say: Callable[[str], None] = print,
        init_seconds: float = 20,
        finish_seconds: float = 60,
    ) -> None:
        self.directory = experiment_dir.absolute()
        self.say = say
        self.finish_seconds = finish_seconds
        self.dropped = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self._mode, self._reason = decide(tracking.mode)
        self._start = {
            "directory": str(self.directory),
            "group": self.directory.name,
            "mode": self._mode,
            "project": tracking.project,
            "entity": tracking.entity,
            "tags": tracking.tags,
            "config": config,
            "init_seconds": init_seconds,
            "finish_seconds": finish_seconds,
        }

    @property
    def log(self) -> Path:
        """What wandb and the mirror had to say."""
        return self.directory / "wandb" / "mirror.log"

    def open(self, run_id: str, row: Mapping[str, Any], tags: Sequence[str] = ()) -> None:
        """Begin the W&B run of a policy; `row` is its row of experiment.json."""
        self._send("open", run_id=run_id, row=row, tags=tags)

    def metrics(self, run_id: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: `train/<name>` over `overopt/step`."""
        self._send("metrics", run_id=run_id, step=step, values=values)

    def point(
        self, run_id: str, values: Mapping[str, Any], samples: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """One scored point: `overopt/<name>` over `overopt/sqrt_kl`.

        Args:
            run_id: given to `open`.
            values: must hold `step` and `kl` (nats per sequence); None and NaN are left out.
            samples: a few rows with the same keys (item, prompt, completion, proxy, …), shown as a table.
        """
        self._send("point", run_id=run_id, values=values, samples=samples)

    def curve(self, name: str, columns: Mapping[str, Sequence[float]], kind: str = "best_of_n") -> None:
        """A whole curve in a W&B run `name` of job type `kind`: a table, and lines over the first column."""
        self._send("curve", name=name, kind=kind, columns={key: list(columns[key]) for key in columns})

    def close(self, run_id: str, failed: bool = False) -> None:
        """End the W&B run of a policy."""
        self._send("close", run_id=run_id, failed=failed)

    def __enter__(self) -> Mirror:
        if self._reason:
            where = f"; kept in {self.log.parent} for `wandb sync`" if self._mode == "offline" else ""
            self.say(f"W&B is {self._mode}: {self._reason}{where}")
        if self._mode == "disabled":
            return self
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "ab") as log:
                # In a session of its own, so that Ctrl-C leaves it to finish its uploads.
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "training.follow.wandb_process"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=Path(__file__).parents[2],
                    start_new_session=True,
                )
        except OSError as error:
            self.say(f"W&B mirror did not start ({error}); the experiment goes on without")
            return self
        self._writer = threading.Thread(target=self._write, name="wandb-mirror", daemon=True)
        self._writer.start()
        self._send("start", **self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is None:
            return
        deadline = time.monotonic() + self.finish_seconds
        problem = None
        try:
            self._queue.put(None, timeout=self.finish_seconds)
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
            if status != wandb_process.COMPLETE:
                problem = _PROBLEMS.get(status, f"ended early (status {status})")
        except (queue.Full, subprocess.TimeoutExpired):
            problem = _PROBLEMS[wandb_process.OUT_OF_TIME]
        finally:
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.dropped and problem is None:
            problem = f"{self.dropped} message(s) were dropped"
        if problem:
            self.say(f"W&B mirror: {problem}; the records on disk are not affected (see {self.log})")

    def _send(self, call: str, **arguments: Any) -> None:
        if self.process is None:
            return
        try:
            self._queue.put_nowait(json.dumps([call, arguments], default=_plain).encode() + b"\n")
        except (queue.Full, TypeError, ValueError):  # too many, or nothing that JSON could carry
            self.dropped += 1

    def _write(self) -> None:
        """Feed the mirror from a thread. After its death messages are read and forgotten."""
        assert self.process is not None and self.process.stdin is not None
        for message in iter(self._queue.get, None):
            with contextlib.suppress(OSError):
                self.process.stdin.write(message)
                self.process.stdin.flush()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


_PROBLEMS = {
    wandb_process.INCOMPLETE: "some of it did not arrive",
    wandb_process.OUT_OF_TIME: "stopped, as its uploads took too long",
    wandb_process.UNREACHABLE: "the server did not answer, so runs were kept for `wandb sync`",
}


def _plain(value: Any) -> Any:
    """NumPy scalars as numbers, anything else in words: a strange value is no reason to fail."""
    return value.item() if hasattr(value, "item") else str(value)
