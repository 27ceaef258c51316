"""Runs the user's command between start and stop of the servers, and hands signals on to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from types import FrameType

from pipelines.signals import handled

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked this process to stop; not an Exception, so that nobody retries over it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Within, the first stop signal raises `Stopped`; a second one ends the process at once.

    That is safe at any instant, since the servers end when this process does.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        raise Stopped(number)

    with handled(_SIGNALS, stop):
        yield


def run(command: list[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end, however many signals come, and returns its exit status.

    A command should see each signal once, since a second one often means "at once". What is typed
    in a terminal reaches the whole foreground group by itself; everything else reaches this process
    alone, which hands it on: the command then has a session of its own.

    Returns:
      The command's own status, or 128 + n when signal n ended it.
    """
    on_terminal = _in_foreground()
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        if process is None:
            early.append(number)
        elif not (on_terminal and number in (signal.SIGINT, signal.SIGHUP)):
            process.send_signal(number)

    with handled(_SIGNALS, hand_on):
        process = subprocess.Popen(command, env=environment, start_new_session=not on_terminal)
        for number in early:
            process.send_signal(number)
        status = process.wait()
    return status if status >= 0 else 128 - status


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C reaches this process and its children by itself."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
