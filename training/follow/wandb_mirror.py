"""The W&B mirror: shows the records live, in a process of its own, and can never harm the experiment.

The caller's side only appends lines to files, which `training.follow.wandb_process` follows. A server out
of reach, a killed wandb or a killed mirror costs the experiment nothing; its next run sends what is missing.
"""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import netrc
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from training.config.tracking import Tracking
from training.follow import wandb_process
from training.follow.outbox import Outbox
from training.store.identity import digest


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
        self.tracking, self.config, self.say = tracking, config, say
        self.group = experiment_dir.absolute().name
        self.folder = experiment_dir.absolute() / "wandb"
        self.init_seconds, self.finish_seconds = init_seconds, finish_seconds
        self.process: subprocess.Popen[bytes] | None = None
        self.lost = 0
        self._mode, self._reason = decide(tracking.mode)
        self._outboxes: dict[str, Outbox] = {}
        self._addressed = False

    @property
    def log(self) -> Path:
        """What wandb and the mirror had to say."""
        return self.folder / "mirror.log"

    def open(
        self, run_id: str, artefact: str, row: Mapping[str, Any], tags: Sequence[str], kind: str = "policy"
    ) -> bool:
        """Begin or continue the W&B run of a policy.

        Args:
            run_id: its name, to be given to the other methods.
            artefact: what the run is made from; another one makes it another W&B run.
            row: its row of experiment.json, kept in the W&B run's config.
            tags: beside those of the config.
            kind: W&B's job type.

        Returns:
            Whether anything can be left to send: not if the mirror is off, or has been given the whole run.
        """
        if self.process is None or self.process.stdin is None:
            return False
        place = [self.group, self.tracking.project, self.tracking.entity]
        wandb_id = digest([*place, run_id, artefact])[:20]
        init = {
            "project": self.tracking.project,
            "entity": self.tracking.entity,
            "group": self.group,
            "job_type": kind,
            "name": run_id,
            "tags": [*self.tracking.tags, *tags],
            "config": {"overopt": {**self.config, "run": row}},
        }
        try:
            outbox = Outbox(self.folder / "outbox" / f"{wandb_id}.jsonl")
        except (OSError, ValueError):
            self.lost += 1
            return False
        self._outboxes[run_id] = outbox
        self._add(run_id, "open", budget=row.get("budget"), init=init)
        with contextlib.suppress(OSError, ValueError):  # a dead mirror
            self.process.stdin.write(wandb_id.encode() + b"\n")
            self.process.stdin.flush()
        return not outbox.ended

    def metrics(self, run_id: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: `train/<name>` over `train/step`."""
        self._add(run_id, "metrics", step=step, values=values)

    def point(
        self,
        run_id: str,
        step: int,
        values: Mapping[str, Any],
        samples: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """One scored point.

        Args:
            run_id: given to `open`.
            step: the optimiser's; n for best-of-n.
            values: by section and name (`score/gold`), over `kl/sqrt_kl`; None and NaN are left out.
            samples: a few rows with the same keys (item, prompt, completion, proxy, …), shown as a table.
        """
        self._add(run_id, "point", step=step, values=values, samples=samples)

    def close(self, run_id: str, failed: bool = False) -> None:
        """End the W&B run of a policy."""
        self._add(run_id, "close", failed=failed)

    def look(self) -> None:
        """Tell the user where to look, once W&B has said it."""
        address = self.folder / "address.txt"
        if self.process and not self._addressed and address.exists():
            self._addressed = True
            self.say(f"W&B: {address.read_text()} (group {self.group})")

    def __enter__(self) -> Mirror:
        if self._reason:
            self.say(f"W&B is {self._mode}: {self._reason}")
        if self._mode == "disabled":
            return self
        try:
            (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
            (self.folder / "address.txt").unlink(missing_ok=True)
            with open(self.log, "ab") as log:
                limits = (str(self.init_seconds), str(self.finish_seconds))
                # In a session of its own, so that Ctrl-C leaves it to finish its uploads.
                self.process = subprocess.Popen(
                    [sys.executable, "-m", wandb_process.__name__, str(self.folder), self._mode, *limits],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=Path(__file__).parents[2],
                    env={**os.environ, "TMPDIR": str(self.folder / "tmp")},
                    start_new_session=True,
                )
        except OSError as error:
            self.say(f"W&B mirror did not start ({error}); the experiment goes on without")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is None:
            return
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            status = self.process.wait(self.finish_seconds)
        except subprocess.TimeoutExpired:
            status = wandb_process.OUT_OF_TIME
        finally:
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            # wandb leaves media and artifacts behind in its temporary directory.
            shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        self._report(status)

    def _report(self, status: int) -> None:
        """What became of it, for the user."""
        self.look()
        problem = None
        if status != wandb_process.COMPLETE:
            problem = _PROBLEMS.get(status, f"ended early (status {status})")
        elif self.lost:
            problem = f"{self.lost} line(s) could not be written"
        if problem:
            self.say(f"W&B mirror: {problem}; the records on disk are not affected (see {self.log})")
        if status in (wandb_process.COMPLETE, wandb_process.UNREACHABLE) and (unsent := self._unsent()):
            self.say(f"to show it in W&B: wandb sync {unsent}")

    def _unsent(self) -> str:
        """The offline folders of these runs that `wandb sync` has not seen, as arguments for a shell."""
        folders = set(self.folder.glob("offline-run-*"))
        ids = tuple(outbox.path.stem for outbox in self._outboxes.values())
        own = {path for path in folders if path.name.endswith(ids)}
        if all(any(path.glob("*.wandb.synced")) for path in own):
            return ""
        if len(own) > 1 and own == folders:
            return f"{_quoted(self.folder)}/offline-run-*"
        return " ".join(_quoted(path) for path in sorted(own))

    def _add(self, run_id: str, call: str, **values: Any) -> None:
        if outbox := self._outboxes.get(run_id):
            try:
                outbox.add(call, **values)
            except (OSError, TypeError, ValueError):  # a full disk, or nothing that JSON could carry
                self.lost += 1


_PROBLEMS = {
    wandb_process.INCOMPLETE: "some of it did not arrive",
    wandb_process.OUT_OF_TIME: "stopped, as its uploads took too long",
    wandb_process.UNREACHABLE: "the server did not answer, so runs were kept offline",
}


def _quoted(path: Path) -> str:
    """A path for the shell, from the working directory where that is shorter."""
    return shlex.quote(min(str(path), os.path.relpath(path), key=len))
