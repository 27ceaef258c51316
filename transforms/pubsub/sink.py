"""`WriteToPubSub`: publishes messages in batches, confirmed before the bundle ends."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam

from transforms import limits
from transforms.errors import DeliveryError, RefusedError, TransferError
from transforms.health import DESTINATION
from transforms.pubsub.client import Publisher, to_proto
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord
from transforms.registry import Bridge, BridgeConfig
from transforms.sink import WriteFn

_log = logging.getLogger(__name__)

BATCH_BYTES = 2_000_000
"""A batch is sent when it reaches this; a larger single message travels alone."""

REQUESTS = 8
"""Publish requests under way at once, per writer."""

_FRAMING_BYTES = 8
"""Upper bound of tag and length of one message in a request (protobuf varints)."""


@dataclass(frozen=True)
class PubsubSinkConfig:
    """Where messages are published to; picklable.

    Attributes:
      topic: `projects/P/topics/T`.
      service: where it is, and who writes it.
    """

    bridge: BridgeConfig
    topic: str
    service: Service = DEFAULT


class WriteToPubSub(beam.PTransform):
    """Publishes messages to one topic, data, attributes and ordering key as they are.

    Parallelism: one writer per DoFn instance with up to 8 requests under way; messages with an
      ordering key go one key a request, one request of a key at a time, in order.
    Guarantee: a bundle ends only when the service has confirmed each of its messages, or it is safe
      as a dead letter; else it fails, and its source delivers it again.
    On restart: nothing is kept; what was not confirmed is published again.
    """

    def __init__(self, config: PubsubSinkConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, messages: Any) -> Any:
        return messages | "Publish" >> beam.ParDo(
            WriteFn(
                self._config.bridge,
                ("pubsub", self._config.topic),
                partial(PubsubWriter, self._config),
            )
        )

    def display_data(self) -> dict[str, Any]:
        return {"topic": self._config.topic}


class _Pending(NamedTuple):
    proto: Any
    size_bytes: int
    record: PubsubRecord


@dataclass
class _Lane:
    """What waits to be published under one ordering key; the empty key has no order."""

    waiting: deque[_Pending] = field(default_factory=deque)
    waiting_bytes: int = 0
    since: float = 0.0
    requests: int = 0


def _started_pool() -> ThreadPoolExecutor:
    """All threads at once: by itself a pool starts the last of them hours later."""
    pool = ThreadPoolExecutor(REQUESTS, "publish")
    started = threading.Barrier(REQUESTS + 1)
    for _ in range(REQUESTS):
        pool.submit(started.wait)
    started.wait()
    return pool


class PubsubWriter:
    """Batches messages and publishes them from a pool of threads. Implements `registry.Writer`.

    `write` blocks while `max_in_flight_bytes / 4` are waiting or being published: a message in
    flight exists up to four times (record, protobuf message, request, transport buffer).
    """

    def __init__(
        self,
        config: PubsubSinkConfig,
        bridge: Bridge,
        publisher: Publisher | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = config.bridge
        self._topic = config.topic
        self._counts = bridge.counts
        self._give_up = bridge.give_up
        self._clock = clock
        self._linger_s = settings.linger_ms / 1000
        self._delivery_timeout_s = settings.delivery_timeout_s
        self._limit_bytes = max(1, settings.max_in_flight_bytes // 4)
        self._publisher = publisher or Publisher(
            config.topic,
            settings.delivery_timeout_s,
            partial(bridge.health.failed, DESTINATION),
            config.service,
        )
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._in_flight_bytes = 0
        self._in_flight = 0
        self._confirmed = 0
        self._closed = False
        self._failure: TransferError | None = None
        self._pool = _started_pool()
        self._timer = threading.Thread(target=self._linger, name="publish-linger", daemon=True)
        self._timer.start()

    def write(self, record: PubsubRecord) -> None:
        """Queues a message; blocks while too much is in flight.

        Raises:
          TransferError: an earlier message of this bundle has failed.
        """
        proto = to_proto(record)
        size_bytes = proto.ByteSize() + _FRAMING_BYTES
        with self._changed:
            while self._in_flight_bytes >= self._limit_bytes and self._failure is None:
                self._submit_all()
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            lane = self._lanes.get(record.ordering_key)
            if lane is None:
                lane = self._lanes[record.ordering_key] = _Lane()
            if not lane.waiting:
                lane.since = self._clock()
                self._changed.notify_all()
            lane.waiting.append(_Pending(proto, size_bytes, record))
            lane.waiting_bytes += size_bytes
            self._in_flight += 1
            self._in_flight_bytes += size_bytes
            if (
                lane.waiting_bytes >= BATCH_BYTES
                or len(lane.waiting) >= limits.PUBSUB_MAX_REQUEST_MESSAGES
            ):
                self._submit(record.ordering_key, lane)

    def flush(self, timeout_s: float) -> None:
        deadline = self._clock() + timeout_s
        with self._changed:
            while self._in_flight and self._failure is None:
                self._submit_all()
                left = deadline - self._clock()
                if left <= 0 or not self._changed.wait(left):
                    raise DeliveryError(
                        f"publish {self._topic}: {self._in_flight} messages not confirmed "
                        f"within {timeout_s:g} s"
                    )
            if self._failure is not None:
                raise self._failure

    @property
    def clean(self) -> bool:
        with self._changed:
            return not self._in_flight and self._failure is None

    @property
    def confirmed(self) -> int | None:
        with self._changed:
            return self._confirmed if self._in_flight else None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._lanes.clear()
            self._changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._publisher.close()

    def _linger(self) -> None:
        """The timer thread: sends what has waited for `linger_ms`."""
        with self._changed:
            while not self._closed:
                waiting = [lane.since for lane in self._lanes.values() if self._sendable(lane)]
                if not waiting:
                    self._changed.wait()
                    continue
                left = min(waiting) + self._linger_s - self._clock()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._submit_all(waiting_since=self._clock() - self._linger_s)

    def _sendable(self, lane: _Lane) -> bool:
        return bool(lane.waiting) and (not lane.requests or lane is self._lanes.get(""))

    def _submit_all(self, waiting_since: float = float("inf")) -> None:
        for key, lane in list(self._lanes.items()):
            if lane.since <= waiting_since:
                self._submit(key, lane)

    def _submit(self, key: str, lane: _Lane) -> None:
        """Sends what waits in a lane: all of it without a key, one request at a time with one."""
        while self._failure is None and not self._closed and self._sendable(lane):
            batch: list[_Pending] = []
            size_bytes = len(self._topic) + _FRAMING_BYTES
            while lane.waiting and len(batch) < limits.PUBSUB_MAX_REQUEST_MESSAGES:
                item = lane.waiting[0]
                if batch and size_bytes + item.size_bytes > limits.PUBSUB_MAX_REQUEST_BYTES:
                    break
                batch.append(lane.waiting.popleft())
                size_bytes += item.size_bytes
                lane.waiting_bytes -= item.size_bytes
            lane.requests += 1
            self._pool.submit(self._publish, key, lane, batch)

    def _publish(self, key: str, lane: _Lane, batch: Sequence[_Pending]) -> None:
        try:
            with self._changed:
                if self._failure is not None or self._closed:
                    return
            self._publish_or_bisect(batch)
        except TransferError as error:
            self._fail(error)
        except Exception as error:
            if not self._closed:
                _log.exception("publish %s", self._topic)
            self._fail(DeliveryError(f"publish {self._topic}: {type(error).__name__}"))
        finally:
            with self._changed:
                lane.requests -= 1
                if key and not lane.requests and not lane.waiting:
                    self._lanes.pop(key, None)
                elif key and lane.waiting:
                    self._submit(key, lane)
                self._changed.notify_all()

    def _publish_or_bisect(self, batch: Sequence[_Pending], attempt: int = 1) -> None:
        """Publishes a batch; a refused one in halves, in order, until the culprit stands alone."""
        try:
            self._publisher.publish([item.proto for item in batch])
        except RefusedError as error:
            if len(batch) == 1:
                self._refuse(batch[0], error, attempt)
                return
            half = len(batch) // 2
            self._publish_or_bisect(batch[:half], attempt + 1)
            self._publish_or_bisect(batch[half:], attempt + 1)
            return
        self._counts.add("delivered", len(batch))
        self._counts.add("bytes", sum(item.record.payload_bytes for item in batch))
        self._settled(batch)

    def _refuse(self, item: _Pending, error: RefusedError, attempts: int) -> None:
        record = item.record
        refusal = RefusedError(
            f"{error.what} ({record.name}: {item.size_bytes} bytes, {len(record.attributes)} "
            "attributes)"
        )
        self._give_up(record.origin or record, refusal, "write", attempts)
        self._settled([item])

    def _settled(self, batch: Sequence[_Pending]) -> None:
        with self._changed:
            self._confirmed += len(batch)
            self._in_flight -= len(batch)
            self._in_flight_bytes -= sum(item.size_bytes for item in batch)

    def _fail(self, error: TransferError) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
