"""How checks are run: side by side, under one deadline that holds whatever they wait for."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from transforms import deadlines
from transforms.errors import BridgeError, PreflightError, one_line

T = TypeVar("T")

RETRY_S = 3.0
"""How long passing failures are tried again; shorter than a call's time-out, which is none."""


def run_all(checks: Mapping[str, Callable[[], Any]], deadline_s: float) -> dict[str, Any]:
    """Runs every check in a thread of its own; returns their results by name.

    A check that is still waiting at the deadline (for a name server, say) is left behind in its
    daemon thread, which does not keep the process from ending.

    Args:
      checks: what is checked, as an error would say it, and the check.
    Raises:
      PreflightError: one line for each check that failed.
    """
    answers: queue.SimpleQueue[tuple[str, Any, Exception | None]] = queue.SimpleQueue()

    def run(name: str, check: Callable[[], Any]) -> None:
        try:
            answers.put((name, check(), None))
        except Exception as error:
            answers.put((name, None, error))

    for name, check in checks.items():
        threading.Thread(target=run, args=(name, check), name=f"check {name}", daemon=True).start()

    results: dict[str, Any] = {}
    failures: list[PreflightError] = []
    open_checks = set(checks)
    end = time.monotonic() + deadline_s
    while open_checks:
        try:
            name, result, error = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            failures += [_late(name, deadline_s) for name in sorted(open_checks)]
            break
        open_checks.discard(name)
        results[name] = result
        if error is not None:
            failures.append(_told(name, error))
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise PreflightError("\n".join(dict.fromkeys(map(str, failures)))) from failures[0]
    return results


def check_again(check: Callable[[], T]) -> T:
    """Asks again, for a moment, what a cluster that has just started cannot answer yet."""
    return deadlines.retried(check, RETRY_S)


@contextmanager
def quiet_clients(debug: bool) -> Iterator[None]:
    """Keeps what clients log of their failures out of sight: one line of ours says it all."""
    names = () if debug else ("kafka", "google", "grpc", "urllib3")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _told(name: str, error: Exception) -> PreflightError:
    """An error of ours as it is, any other with the name of its check."""
    if isinstance(error, PreflightError):
        return error
    if not isinstance(error, BridgeError):
        return _odd(name, error)
    failure = PreflightError(str(error))
    failure.__cause__ = error
    return failure


def _late(name: str, deadline_s: float) -> PreflightError:
    return PreflightError(
        f"check {name}: no answer within {deadline_s:g} s; check the address and the network"
    )


def _odd(name: str, error: Exception) -> PreflightError:
    """A failure that nobody foresaw, in one line; `--debug` shows where it came from."""
    said = f"{type(error).__name__}: {one_line(error)}"
    failure = PreflightError(f"check {name}: {said}; --debug shows more")
    failure.__cause__ = error
    return failure
