"""Starting and ending the processes that are measured."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOG = "log.txt"

_GRACE_S = 20.0


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A process in a session of its own, whose output goes to a file in `folder`."""
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; what is left after a while, of all that it has started, is killed."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_S)


def tail(folder: Path, lines: int = 3) -> str:
    """The last that the processes of a run have printed, in one line."""
    logs = [log for log in folder.glob("*") if log.suffix == ".log" or log.name == LOG]
    text = "\n".join(log.read_text(errors="replace") for log in sorted(logs))
    return " | ".join(text.splitlines()[-lines:])
