"""A steady feed of numbered messages into a stream, and what checks them off where it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing

from benchmarks.ends import Inlet, Outlet
from benchmarks.worker import Worker

_NUMBER_DIGITS = 10
_BATCH = 500  # messages, at most, of one request: catching up is no flood
_VARIANTS = 64


class Feed(Worker):
    """Sends `count` numbered messages, each at its time by the clock; after a hiccup it catches up,
    by one full request after the other.

    Args:
      rate: messages a second.
      tick_s: it looks so often what is due, and sends that in one request.
    Attributes:
      began_s: when number 0 was due; number n is due n / rate seconds later.
      behind_s: how late the latest message was, at worst.
    """

    def __init__(
        self,
        open_inlet: Callable[[], Inlet],
        rate: float,
        count: int,
        size_bytes: int,
        tick_s: float = 0.02,
    ) -> None:
        super().__init__("feed")
        self.sent = 0
        self.behind_s = 0.0
        self.began_s = time.monotonic()
        self.took_s = 0.0
        self._open_inlet, self._rate, self._count = open_inlet, rate, count
        self._tick_s = tick_s
        self._rests = [os.urandom(size_bytes - _NUMBER_DIGITS) for _ in range(_VARIANTS)]

    def due_s(self, number: int) -> float:
        return self.began_s + number / self._rate

    def _run(self) -> None:
        with closing(self._open_inlet()) as inlet:
            self.began_s = time.monotonic()
            while self.sent < self._count and not self.ended.is_set():
                elapsed_s = time.monotonic() - self.began_s
                due = min(int(elapsed_s * self._rate) + 1, self._count)
                batch = range(self.sent, min(due, self.sent + _BATCH))
                if batch:
                    inlet.send([self._payload(number) for number in batch])
                    self.sent = batch.stop
                    late_s = time.monotonic() - self.due_s(batch.stop - 1)
                    self.behind_s = max(self.behind_s, late_s)
                if self.sent == due:
                    next_s = max(self._tick_s, self.due_s(due) - time.monotonic())
                    self.ended.wait(min(next_s, 1.0))
        self.took_s = time.monotonic() - self.began_s

    def _payload(self, number: int) -> bytes:
        return b"%0*d" % (_NUMBER_DIGITS, number) + self._rests[number % _VARIANTS]


class Reader(Worker):
    """Receives numbered messages, and checks them off, until the `with` ends.

    Args:
      first: delays of messages before this one are not kept.
    Attributes:
      seen: how often each number has come, up to 255.
      received: messages, duplicates included.
    """

    def __init__(
        self, open_outlet: Callable[[], Outlet], feed: Feed, count: int, first: int = 0
    ) -> None:
        super().__init__("reader")
        self.seen = bytearray(count)
        self.received = 0
        self.foreign = 0
        self._open_outlet, self._feed, self._first = open_outlet, feed, first
        self._delays_s: list[float] = []

    def _run(self) -> None:
        with closing(self._open_outlet()) as outlet:
            while not self.ended.is_set():
                now_s, payloads = outlet.receive()
                delays_s = []
                for payload in payloads:
                    number = int(payload[:_NUMBER_DIGITS])
                    if number < len(self.seen):
                        self.seen[number] = min(255, self.seen[number] + 1)
                        if number >= self._first:
                            delays_s.append(now_s - self._feed.due_s(number))
                    else:
                        self.foreign += 1
                self.received += len(payloads)
                self._delays_s += delays_s

    def take_delays_s(self) -> list[float]:
        """From when a message was due to be sent until it came, of those since the last call."""
        delays_s, self._delays_s = self._delays_s, []
        return delays_s

    @property
    def distinct(self) -> int:
        return len(self.seen) - self.seen.count(0)

    @property
    def duplicated(self) -> int:
        return sum(self.seen) + self.foreign - self.distinct
