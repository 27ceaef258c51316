"""The dead letters of one bridge in one process, until each is confirmed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from transforms.dead_letter import DeadLetter, DeadLetterSink, Direction, Stage
from transforms.errors import DeliveryError, PoisonError, TransferError
from transforms.metrics import Counts
from transforms.records import KafkaRecord, PubsubRecord
from transforms.version import VERSION

OpenSink = Callable[[], DeadLetterSink]
"""Opens the place where dead letters go; picklable, it travels to workers."""

_MOST_LETTERS = 500
_MOST_BYTES = 20_000_000
"""What is kept in memory before it is written, without waiting for the end of a bundle."""


class PendingLetters:
    """Takes letters from any thread, and writes them to a sink that is opened for the first one.

    A letter stays here until the sink has confirmed it, so that no flush, of whichever bundle,
    succeeds without it; one that is added again, by a bundle that is tried again, is the same.
    """

    def __init__(
        self, open_sink: OpenSink, direction: Direction, counts: Counts, timeout_s: float
    ) -> None:
        self._open_sink = open_sink
        self._direction = direction
        self._counts = counts
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._letters: dict[KafkaRecord | PubsubRecord, DeadLetter] = {}
        self._payload_bytes = 0
        self._sink: DeadLetterSink | None = None

    def add(
        self, original: KafkaRecord | PubsubRecord, error: PoisonError, stage: Stage, attempts: int
    ) -> None:
        """Takes a message that is given up; writes at once where many or large ones wait."""
        letter = DeadLetter(
            original,
            self._direction,
            stage,
            type(error).__name__,
            error.in_letter,
            int(time.time() * 1000),
            attempts,
            VERSION,
        )
        with self._lock:
            if original not in self._letters:
                self._payload_bytes += original.payload_bytes
            self._letters[original] = letter
            if len(self._letters) >= _MOST_LETTERS or self._payload_bytes >= _MOST_BYTES:
                self.flush(self._timeout_s)

    def flush(self, timeout_s: float) -> None:
        """Returns when every letter that was added is confirmed.

        Raises:
          TransferError: they are not; they stay.
        """
        ends = time.monotonic() + timeout_s
        if not self._lock.acquire(timeout=max(0.0, timeout_s)):
            raise DeliveryError(f"write dead letters: not confirmed within {timeout_s:g} s")
        try:
            if not self._letters:
                return
            if self._sink is None:
                self._sink = self._open_sink()
            try:
                left_s = max(0.0, ends - time.monotonic())
                self._sink.write(list(self._letters.values()), left_s)
            except TransferError as error:
                what = error.what if isinstance(error, PoisonError) else error
                raise DeliveryError(f"write dead letters: {what}") from error
            self._counts.add("dead_lettered", len(self._letters))
            self._letters.clear()
            self._payload_bytes = 0
        finally:
            self._lock.release()

    def close(self) -> None:
        """Disconnects; what is not confirmed belongs to messages that come again."""
        with self._lock:
            if self._sink is not None:
                self._sink.close()
                self._sink = None
