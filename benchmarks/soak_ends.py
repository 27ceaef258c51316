"""The two ends of a soak: what sends at a steady rate, what checks off, what watches commits."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from abc import abstractmethod
from contextlib import closing
from pathlib import Path

from benchmarks.soak_figures import Ages, Sample
from transforms.errors import PreflightError
from transforms.kafka.client import KafkaConfig
from transforms.kafka.clients import open_admin
from transforms.pubsub import client as pubsub
from transforms.records import PubsubRecord

_CALL_S = 30.0
_NUMBER_DIGITS = 10
_TICK_S = 0.02
_BATCH = 500  # messages, at most, of one request: catching up is no flood
_LAG_PERIOD_S = 0.5
_PULL_S = 10.0  # a pull that is given up takes messages with it until their lease ends


class Worker:
    """A daemon thread that lasts as long as the `with`, and keeps the error that ended it."""

    def __init__(self, name: str) -> None:
        self.error: Exception | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join(_CALL_S)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    @abstractmethod
    def _run(self) -> None:
        """The work, until `ended` is set."""


class Feed(Worker):
    """Publishes `count` numbered messages, each at its time by the clock; after a hiccup it catches
    up, by one full request after the other.

    Attributes:
      began_s: when number 0 was due; number n is due n / rate seconds later.
      behind_s: how late the latest message was, at worst.
    """

    def __init__(self, topic: str, rate: float, count: int, size_bytes: int) -> None:
        super().__init__("feed")
        self.sent = 0
        self.behind_s = 0.0
        self.began_s = time.monotonic()
        self.took_s = 0.0
        self._topic, self._rate, self._count = topic, rate, count
        self._size_bytes = size_bytes

    def due_s(self, number: int) -> float:
        return self.began_s + number / self._rate

    def _run(self) -> None:
        with closing(pubsub.Publisher(self._topic, _CALL_S)) as publisher:
            self.began_s = time.monotonic()
            while self.sent < self._count and not self.ended.is_set():
                elapsed_s = time.monotonic() - self.began_s
                due = min(int(elapsed_s * self._rate) + 1, self._count)
                batch = range(self.sent, min(due, self.sent + _BATCH))
                if batch:
                    publisher.publish([pubsub.to_proto(self._message(n)) for n in batch])
                    self.sent = batch.stop
                    late_s = time.monotonic() - self.due_s(batch.stop - 1)
                    self.behind_s = max(self.behind_s, late_s)
                if self.sent == due:
                    self.ended.wait(_TICK_S)
        self.took_s = time.monotonic() - self.began_s

    def _message(self, number: int) -> PubsubRecord:
        text = b"%0*d" % (_NUMBER_DIGITS, number)
        return PubsubRecord(text + os.urandom(self._size_bytes - len(text)))


class Reader(Worker):
    """Pulls, acknowledges and checks off numbers until the `with` ends.

    Attributes:
      seen: how often each number has come, up to 255.
      received: messages, duplicates included.
    """

    def __init__(self, subscription: str, feed: Feed, count: int) -> None:
        super().__init__("reader")
        self.seen = bytearray(count)
        self.received = 0
        self.foreign = 0
        self._subscription, self._feed = subscription, feed
        self._delays_s: list[float] = []

    def _run(self) -> None:
        with closing(pubsub.Subscriber(self._subscription)) as subscriber:
            while not self.ended.is_set():
                pulled = subscriber.pull(1000, _PULL_S)
                now_s, delays_s = time.monotonic(), []
                for message in pulled:
                    number = int(message.record.data[:_NUMBER_DIGITS])
                    if number < len(self.seen):
                        self.seen[number] = min(255, self.seen[number] + 1)
                        delays_s.append(now_s - self._feed.due_s(number))
                    else:
                        self.foreign += 1
                self.received += len(pulled)
                self._delays_s += delays_s
                if pulled:
                    subscriber.acknowledge([message.ack_id for message in pulled], _CALL_S)

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


class CommitLag(Worker):
    """Watches how long the oldest record without a commit has waited.

    Attributes:
      lags_s: one for each look.
      written, committed: records in the topic, and how many of them the group has committed.
    """

    def __init__(self, config: KafkaConfig, topic: str, group_id: str) -> None:
        super().__init__("commit lag")
        self.lags_s: list[float] = []
        self.written = self.committed = 0
        self._config, self._topic, self._group_id = config, topic, group_id

    def _run(self) -> None:
        with closing(open_admin(self._config, _CALL_S)) as admin:
            partitions = admin.partitions([self._topic])
            ages = Ages(partitions, time.monotonic())
            while not self.ended.wait(_LAG_PERIOD_S):
                asked_s = time.monotonic()
                try:
                    ends = admin.end_offsets(partitions)
                    committed = admin.committed(self._group_id)
                except PreflightError:  # a new group has no coordinator for a moment
                    continue
                self.lags_s.append(ages.look(asked_s, ends, committed, time.monotonic()))
                self.written = sum(ends.values())
                self.committed = sum(committed.get(part, 0) for part in ends)


# -- what Linux says of a process ------------------------------------------------------------------

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def sample(process_id: int, at_s: float) -> Sample | None:
    """What a process has now; None where it has ended."""
    folder = Path(f"/proc/{process_id}")
    with contextlib.suppress(OSError, KeyError):
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if line
        )
        # after the name in parentheses: fields 12 and 13 are the ticks in user and system mode
        ticks = (folder / "stat").read_text().rpartition(") ")[2].split()[11:13]
        return Sample(
            at_s,
            int(status["VmRSS"].split()[0]) * 1024,
            len(list((folder / "fd").iterdir())),
            int(status["Threads"]),
            sum(map(int, ticks)) / _TICKS_A_SECOND,
        )
    return None


def memory_available_bytes() -> int:
    """What Linux can give to a new process without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
