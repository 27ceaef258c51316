"""One server process: started under the watcher, awaited, stopped, killed, paused, restarted."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from pipelines.local import watcher
from pipelines.local.status import Say
from transforms.errors import PreflightError

LOOPBACK = "127.0.0.1"

_GRACE_S = 5.0  # between asking a server to end and killing it
_WATCHER_TIMEOUT_S = 10.0
_POLL_S = 0.03
_PORT_TRIES = 3
_TAIL_LINES = 4
_TAIL_CHARS = 1000


class Server(ABC):
    """One server on a free loopback port, with its data in a folder of its own.

    Tests use `kill`, `pause`, `resume` and `restart` to fail it on purpose; a restarted server
    has the same port, and the same data if it keeps any.

    Attributes:
      name: what people call it, with its version.
      port: 0 until launched.
      pid: the server's own process id, not the watcher's; 0 until launched.
    """

    name: str

    def __init__(self, folder: Path, say: Say, start_timeout_s: float) -> None:
        self.port = 0
        self.pid = 0
        self._folder = folder
        self._say = say
        self._start_timeout_s = start_timeout_s
        self._watcher: subprocess.Popen[bytes] | None = None
        self._launched_at_s = 0.0

    @abstractmethod
    def prepare(self) -> None:
        """Gets the server's files, from the network if need be, before anything is started."""

    @abstractmethod
    def _choose_ports(self) -> None:
        """Sets `port`, and whatever follows from it."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command line; the folder is there."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server takes requests; returns within a few seconds."""

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        """The server's output."""
        return self._folder / "log.txt"

    def launch(self) -> None:
        """Starts the server and returns at once; `wait_ready` comes next.

        Raises:
          PreflightError: its process could not be started.
        """
        self._launched_at_s = time.monotonic()
        if not self.port:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._choose_ports()
        command = [str(_GRACE_S), str(self._folder), *self._command()]
        with self.log.open("ab") as log:
            # Isolated mode (-I): a PYTHONPATH or a module in this folder cannot change the watcher.
            # A session of its own: Ctrl-C in the terminal must not reach a server that the
            # parent still needs.
            self._watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", watcher.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._read_pid()

    def wait_ready(self) -> None:
        """Returns when the server takes requests; picks other ports if its own were just taken.

        Raises:
          PreflightError: it ended, or was not ready in time; the message holds its log's tail.
        """
        for attempt in range(_PORT_TRIES):
            trouble = self._await()
            if not trouble:
                took_s = time.monotonic() - self._launched_at_s
                self._say(f"{self.name} ready on {self.address} ({took_s:.1f} s)")
                return
            taken = "Address already in use" in self.log.read_text(errors="replace")
            self.stop()
            if not taken or attempt == _PORT_TRIES - 1:
                break
            self.log.unlink()
            self.port = 0
            self.launch()
        raise PreflightError(f"start {self.name}: {trouble}; its log ends: {self.log_tail()}")

    def is_running(self) -> bool:
        """Whether the server's process is there, paused or not."""
        return self._watcher is not None and self._watcher.poll() is None

    def stop(self) -> None:
        """Ends the server, by force after a grace period; its data stay. Does nothing twice."""
        process, self._watcher = self._watcher, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"stop")
            process.stdin.close()
        try:
            process.wait(_GRACE_S + _WATCHER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_WATCHER_TIMEOUT_S)
        process.stdout.close()

    def kill(self) -> None:
        """SIGKILL: the server has no chance to tidy up. Returns when it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as with a network that is gone."""
        os.kill(self.pid, signal.SIGSTOP)
        # The signal reaches one thread after the other; macOS stops them all at once.
        threads = Path(f"/proc/{self.pid}/task")
        while threads.exists() and any(not _is_stopped(thread) for thread in threads.iterdir()):
            time.sleep(0.01)

    def resume(self) -> None:
        """Ends `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stops the server if it runs, and starts it again on the same port with its data."""
        self.stop()
        self.launch()
        self.wait_ready()

    def _await(self) -> str:
        """Waits for an answer; returns what went wrong, or nothing."""
        deadline_s = self._launched_at_s + self._start_timeout_s
        while self.is_running():
            if self._answers():
                return ""
            if time.monotonic() > deadline_s:
                return f"no answer on {self.address} within {self._start_timeout_s:g} s"
            time.sleep(_POLL_S)
        assert self._watcher is not None
        return f"it ended with status {self._watcher.returncode} before it was ready"

    def _read_pid(self) -> int:
        """Reads the server's process id from the watcher."""
        assert self._watcher is not None
        assert self._watcher.stdout is not None
        readable, _, _ = select.select([self._watcher.stdout], [], [], _WATCHER_TIMEOUT_S)
        line = self._watcher.stdout.readline() if readable else b""
        if not line:
            self.stop()
            raise PreflightError(f"start {self.name}: no process; {self.log_tail()}")
        return int(line)

    def log_tail(self) -> str:
        """The last lines of the log, on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-_TAIL_LINES:])[-_TAIL_CHARS:]


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports that are free on the loopback interface now, though not reserved."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            for _ in range(count)
        ]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _is_stopped(thread: Path) -> bool:
    """Whether a thread of Linux is stopped; its state follows the name in parentheses."""
    try:
        return (thread / "stat").read_text().rpartition(") ")[2].startswith(("T", "t", "Z", "X"))
    except FileNotFoundError:
        return True
