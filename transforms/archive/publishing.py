"""Makes complete files visible, several at once, and tries again while their place is away."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from transforms import filesystem
from transforms.archive.files import Ask
from transforms.errors import DeliveryError, TransferError
from transforms.health import DESTINATION, pauses
from transforms.registry import Bridge

THREADS = 8
"""Files that are published at once: what takes long is somebody else's answer."""

_STRIPES = 64
"""Files of one partition are tidied up by one after the other, most of others side by side."""

_Answer = TypeVar("_Answer")

Attempt = Callable[[Ask], _Answer]
"""Does something by asking a filesystem; raises DeliveryError."""


@dataclass(frozen=True)
class Complete:
    """A file that is complete.

    Attributes:
      source: where it is spooled.
      spooled: done when it is; its error is the file's.
      path: its place.
      count, payload_bytes: of the records in it.
    """

    source: str
    spooled: Future[None]
    path: str
    count: int
    payload_bytes: int


class Publisher:
    """Threads that publish files, and count what is in those that are visible.

    Args:
      tidy: called with each file's path once it is visible.
      counted_as: the counter of what is in them.
    """

    def __init__(self, bridge: Bridge, tidy: Callable[[str, Ask], None], counted_as: str) -> None:
        self._counted_as = counted_as
        self._bridge = bridge
        self._tidy = tidy
        self._timeout_s = bridge.config.delivery_timeout_s
        self._pool = ThreadPoolExecutor(THREADS, "publish")
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._tidying = [threading.Lock() for _ in range(_STRIPES)]
        self._pending: set[Future[None]] = set()
        self._failure: TransferError | None = None
        self._progress = 0

    def submit(self, file: Complete) -> None:
        """Publishes a file in its turn."""
        published = self._pool.submit(self._publish, file)
        with self._lock:
            self._pending.add(published)
        published.add_done_callback(self._done)

    def check(self) -> None:
        """Raises what has failed.

        Raises:
          TransferError: a file could not be published.
        """
        if self._failure is not None:
            raise self._failure

    def wait(self, timeout_s: float) -> int:
        """Waits until all files are visible; returns how many are not yet.

        Raises:
          TransferError: one will never be.
        """
        with self._lock:
            pending = set(self._pending)
        done, late = wait(pending, timeout_s)
        for published in done:  # its callback, which does the same, may not have run yet
            self._note(published)
        self.check()
        return len(late)

    @property
    def progress(self) -> int | None:
        """A number that grows while files are on their way; None while none is."""
        return self._progress if self._pending else None

    def insist(self, attempt: Attempt[_Answer]) -> _Answer:
        """Tries until it succeeds.

        Raises:
          DeliveryError: it has not within `delivery_timeout_s`.
        """
        began = time.monotonic()
        for pause_s in pauses():
            left_s = began + self._timeout_s - time.monotonic()
            try:
                return attempt(partial(_ask, left_s))
            except DeliveryError as error:
                if left_s <= pause_s:
                    waited_s = time.monotonic() - began
                    raise DeliveryError(
                        f"{error}; so for {waited_s:.0f} s "
                        f"(--delivery_timeout_s={self._timeout_s:g})"
                    ) from error
                if self._closed.is_set():
                    raise
                self._bridge.health.failed(DESTINATION, error)
                self._closed.wait(pause_s)
        raise AssertionError("pauses do not end")

    def close(self) -> None:
        """Gives up what is not visible; idempotent."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _publish(self, file: Complete) -> None:
        file.spooled.result()
        publish = partial(filesystem.publish, file.source, file.path, self._moved)
        self.insist(lambda ask: ask("write", file.path, publish))
        partition = file.path.rsplit("+", 2)[0]
        with self._tidying[hash(partition) % _STRIPES]:
            self.insist(partial(self._tidy, file.path))
        with contextlib.suppress(FileNotFoundError):
            os.remove(file.source)  # if it was not renamed
        self._moved()
        self._bridge.counts.add(self._counted_as, file.count)
        if self._counted_as == "delivered":
            self._bridge.counts.add("bytes", file.payload_bytes)

    def _moved(self) -> None:
        self._progress += 1

    def _note(self, published: Future[None]) -> None:
        """Keeps the failure of a file, if it has one."""
        error: BaseException | None = DeliveryError("archive: closed before a file was visible")
        if not published.cancelled():
            error = published.exception()
        if error is not None and not isinstance(error, TransferError):
            error = DeliveryError(f"archive: {type(error).__name__}: {error}")
        self._failure = self._failure or error

    def _done(self, published: Future[None]) -> None:
        self._note(published)
        with self._lock:
            self._pending.discard(published)


def _ask(timeout_s: float, operation: str, path: str, call: Callable[[], Any]) -> Any:
    return filesystem.ask(DeliveryError, operation, path, call, timeout_s)
