"""Deadlines for calls that have none, and patience with what cannot be answered for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from transforms.errors import PreflightError

_Answer = TypeVar("_Answer")

PATIENCE_S = 60.0
"""A service that does not answer for so long ends what only reads."""

_AGAIN_AFTER_S = 0.2


def within(timeout_s: float, call: Callable[[], _Answer]) -> _Answer:
    """Runs a call that has no deadline of its own; leaves it behind when it takes too long.

    Raises:
      TimeoutError: it did not end in time.
    """
    outcome: Future[_Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="call", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not outcome.done():
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return outcome.result()


def retried(ask: Callable[[], _Answer], patience_s: float) -> _Answer:
    """Asks again what a cluster cannot answer yet, as just after its start or while a coordinator
    moves: where the cause of the error calls itself `retriable`.

    Raises:
      PreflightError: it cannot within `patience_s`, or another cause.
    """
    give_up = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except PreflightError as error:
            if not getattr(error.__cause__, "retriable", False) or time.monotonic() > give_up:
                raise
            time.sleep(_AGAIN_AFTER_S)
