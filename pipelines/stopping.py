"""SIGINT and SIGTERM: the first one asks for a graceful stop, a second one ends the process."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from pipelines import output
from pipelines.signals import handled
from transforms.control import Control


@contextlib.contextmanager
def graceful_stop(control: Control, what: str) -> Iterator[None]:
    """Turns the first signal into `control.stop`.

    Args:
      what: is done after it, in words such as `draining`.
    """

    def on_signal(number: int, _frame: Any) -> None:
        name = signal.Signals(number).name
        if control.stop_reason in ("SIGINT", "SIGTERM"):
            output.write_now(f"second {name}: ending at once")
            os._exit(128 + number)
        output.write_now(f"{name}: {what}; once more ends at once")
        control.stop(name)

    with handled((signal.SIGINT, signal.SIGTERM), on_signal):
        yield
