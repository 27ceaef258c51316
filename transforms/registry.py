"""What belongs to the process: per bridge, its control, counts, source sessions and sink writers.

Beam makes DoFn instances, bundles and (on the in-process runner) whole pipelines as it likes.
Connections, positions, ack ids and leases outlive them here, and are closed only at exit. A bridge
is found by its id, which travels in `BridgeConfig`; a process that meets an id for the first time
(a remote worker) makes the bridge from that config.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Container, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from transforms.control import Bounds, Control
from transforms.dead_letter import Direction, Stage
from transforms.errors import BridgeError, DeliveryError, PoisonError, TransferError
from transforms.health import DESTINATION, Health, StallWatch
from transforms.metrics import Counts
from transforms.pending_letters import OpenSink, PendingLetters
from transforms.records import KafkaRecord, PubsubRecord
from transforms.stop_file import StopFile

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BridgeConfig:
    """What sources and sinks of one bridge share; picklable. Times in seconds, sizes in bytes.

    Attributes:
      bridge_id: the same in all processes of one run, never the same in two runs.
      bounds: what bounds the run, in this process.
      commit_interval_s: a bundle with messages in it lasts no longer.
      linger_ms: a sink's partial batch waits no longer, in milliseconds.
      delivery_timeout_s: a write that is not confirmed after this has failed; so has a service that
        has not answered for so long.
      revoke_timeout_s: how long sinks may flush while partitions are being revoked.
      max_in_flight_bytes: messages in memory, read and not yet confirmed.
      bundle_bytes: a bundle holds no more payload, so that it is committed.
      bundle_messages: nor more messages, where each of them is acknowledged.
      direction: the pipeline, as dead letters name it.
      open_dead_letters: opens the place for messages that can never be delivered; without one they
        are errors that end the run.
      stop_file: a file that stops the bridge when it is there, see `transforms.stop_file`.
    """

    bridge_id: str
    bounds: Bounds = field(default_factory=Bounds)
    commit_interval_s: float = 5.0
    linger_ms: float = 5.0
    delivery_timeout_s: float = 300.0
    revoke_timeout_s: float = 10.0
    max_in_flight_bytes: int = 200_000_000
    bundle_bytes: int = 100_000_000
    bundle_messages: int = 10_000
    direction: Direction = "kafka_to_ps"
    open_dead_letters: OpenSink | None = None
    stop_file: str = ""


class Session(Protocol):
    """A source's connection with its positions and open messages."""

    @property
    def finished(self) -> bool:
        """Whether a finite source has been handed on to its end."""

    def lag(self) -> int | None:
        """Messages not read yet, where it is known without asking."""

    def close(self) -> None:
        """Commits what is confirmed, gives back the rest (nacks, counts), disconnects.

        Raises:
          CommitError: the last commit or ack did not get through.
        """


class Writer(Protocol):
    """A sink's connection, used by one bundle at a time."""

    def write(self, records: Any) -> None:
        """Takes records, in their order; may block until some of them are confirmed.

        Args:
          records: a sequence of what the sink is for.
        Raises:
          TransferError: it cannot take more of them.
        """

    def flush(self, timeout_s: float) -> None:
        """Waits until all that was written is confirmed.

        Raises:
          TransferError: the first failure since `reset`; raised again by each later call.
        """

    @property
    def clean(self) -> bool:
        """Whether nothing is in flight and nothing has failed."""

    @property
    def confirmed(self) -> int | None:
        """How many have been confirmed since it was opened; None while nothing is in flight. May be
        read by any thread."""

    def close(self) -> None:
        """Disconnects without waiting; idempotent."""


_NUMBER = re.compile(r"[0-9]+")

SessionT = TypeVar("SessionT", bound=Session)
WriterT = TypeVar("WriterT", bound=Writer)


class Bridge:
    """All that one bridge has in this process.

    Attributes:
      delivered_before: what of the source is left out, since it is at the destination already.
    """

    def __init__(self, config: BridgeConfig) -> None:
        self.config = config
        self.control = Control(config.bounds)
        self.counts = Counts()
        self.health = Health(
            config.delivery_timeout_s, self.counts, gives_up=lambda: self.control.stopping
        )
        self.failure: BridgeError | None = None
        self.delivered_before: Container[Any] | None = None
        self.first_offsets: dict[tuple[str, int], int] = {}
        self.last_offsets: dict[tuple[str, int], int] = {}
        self._dead_letters: PendingLetters | None = None
        if config.open_dead_letters is not None:
            self._dead_letters = PendingLetters(
                config.open_dead_letters, config.direction, self.counts, config.delivery_timeout_s
            )
        self._warned: set[str] = set()
        self._lock = threading.RLock()
        self._sessions: dict[Hashable, Any] = {}
        self._idle_writers: dict[Hashable, list[Any]] = {}
        self._busy_writers: dict[int, tuple[Hashable, Any]] = {}
        self._stall_watch = StallWatch(self.health, DESTINATION, self._confirmed, self._stalled)
        self._stall_watch.start()
        self._stop_file = StopFile(config.stop_file, self.control) if config.stop_file else None

    def session(self, key: Hashable, opener: Callable[[], SessionT]) -> SessionT:
        """The session of a source's shard, opened at its first use."""
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = opener()
            found: SessionT = self._sessions[key]
            return found

    def opened(self, key: Hashable) -> Any:
        """The session of a source's shard; None if it is not open here."""
        with self._lock:
            return self._sessions.get(key)

    def lag(self) -> int | None:
        """The sum over all sessions; None while unknown."""
        with self._lock:
            lags = [session.lag() for session in self._sessions.values()]
        known = [lag for lag in lags if lag is not None]
        return sum(known) if known else None

    def finished(self) -> bool:
        """Whether all sources are finite, and handed on to their end."""
        with self._lock:
            return bool(self._sessions) and all(s.finished for s in self._sessions.values())

    def not_delivered_before(self, records: Sequence[Any]) -> Sequence[Any]:
        """What is to be delivered of what has been read; the rest is counted."""
        before = self.delivered_before
        if before is None:
            return records
        left = [record for record in records if record not in before]
        self.counts.add("delivered_before", len(records) - len(left))
        return left

    def borrow_writer(self, key: Hashable, opener: Callable[[], WriterT]) -> WriterT:
        """A writer for the caller alone, until `return_writer`: a kept one, or a new one."""
        with self._lock:
            idle = self._idle_writers.setdefault(key, [])
            writer: WriterT = idle.pop() if idle else opener()
            self._busy_writers[id(writer)] = (key, writer)
            return writer

    def return_writer(self, writer: Writer) -> None:
        """Takes a writer back: kept if clean, else closed; so it is after the bridge is."""
        with self._lock:
            key, _ = self._busy_writers.pop(id(writer), (None, None))
            if key in self._idle_writers and writer.clean:
                self._idle_writers[key].append(writer)
                return
        writer.close()

    def flush_writers(self, timeout_s: float) -> bool:
        """Asks all writers in use to confirm what they have; False if one cannot in time."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            writers = [writer for _, writer in self._busy_writers.values()]
        try:
            for writer in writers:
                writer.flush(max(0.0, deadline - time.monotonic()))
            self.flush_dead_letters(max(0.0, deadline - time.monotonic()))
        except TransferError as error:
            _log.warning("flush before giving partitions away: %s", error)
            return False
        return True

    def give_up(
        self,
        original: KafkaRecord | PubsubRecord,
        error: PoisonError,
        stage: Stage,
        attempts: int = 1,
    ) -> None:
        """Makes a dead letter of a message that can never be delivered; from any thread.

        Raises:
          PoisonError: this error, where there is no place for dead letters.
          TransferError: that place could not be written to.
        """
        if self._dead_letters is None:
            self.fail(error)
            raise error
        if self.first_seen([_NUMBER.sub("N", error.what)]):
            _log.warning("dead letter: %s (said once for its kind, counted)", error.what)
        with self.failing():
            self._dead_letters.add(original, error, stage, attempts)

    def flush_dead_letters(self, timeout_s: float) -> None:
        """Returns when all messages that were given up are safe.

        Raises:
          TransferError: the place for dead letters did not confirm them.
        """
        if self._dead_letters is not None:
            self._dead_letters.flush(timeout_s)

    def first_seen(self, lines: Iterable[str]) -> list[str]:
        """Those that were not asked about before, so that each is said once; at most 100."""
        with self._lock:
            new = [line for line in dict.fromkeys(lines) if line not in self._warned]
            new = new[: max(0, 100 - len(self._warned))]
            self._warned.update(new)
            return new

    def fail(self, error: BridgeError) -> None:
        """Keeps the first failure, since Beam hands on only its text."""
        with self._lock:
            self.failure = self.failure or error

    @contextlib.contextmanager
    def failing(self) -> Any:
        """Keeps a BridgeError that passes through."""
        try:
            yield
        except BridgeError as error:
            self.fail(error)
            raise

    def close(self) -> None:
        """Closes sessions and writers; the last commit's failure is kept as the bridge's."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
            writers = [writer for idle in self._idle_writers.values() for writer in idle]
            writers += [writer for _, writer in self._busy_writers.values()]
            self._idle_writers, self._busy_writers = {}, {}
        for session in sessions:
            try:
                session.close()
            except BridgeError as error:
                self.fail(error)
        for writer in writers:
            writer.close()
        self._stall_watch.stop()
        if self._stop_file is not None:
            self._stop_file.close()
        if self._dead_letters is not None:
            self._dead_letters.close()

    def _confirmed(self) -> object:
        """What all writers in use have confirmed; None while nothing is in flight."""
        with self._lock:
            writers = [writer for _, writer in self._busy_writers.values()]
        confirmed = [writer.confirmed for writer in writers]
        return None if confirmed.count(None) == len(confirmed) else confirmed

    def _stalled(self, seconds: float) -> DeliveryError:
        with self._lock:
            keys = [key for key, _ in self._busy_writers.values()]
        names = sorted({str(key[-1]) if isinstance(key, tuple) else str(key) for key in keys})
        return DeliveryError(
            f"write to {', '.join(names)}: nothing is confirmed for {seconds:.0f} s"
        )


_bridges: dict[str, Bridge] = {}
_bridges_lock = threading.Lock()


def get(config: BridgeConfig) -> Bridge:
    """The bridge of this id in this process, made at its first use."""
    with _bridges_lock:
        if config.bridge_id not in _bridges:
            _bridges[config.bridge_id] = Bridge(config)
        return _bridges[config.bridge_id]


@atexit.register
def _close_all() -> None:
    for bridge in list(_bridges.values()):
        bridge.close()
