"""Publishes messages in batches, in the order of their keys, from several threads."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from transforms.destinations import Template
from transforms.errors import DeliveryError, RefusedError, TopicError, TransferError
from transforms.health import DESTINATION
from transforms.missing_topics import MissingTopics
from transforms.pubsub.client import Publisher, request
from transforms.pubsub.lanes import Lane, Pending, pending_of
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord, pubsub_bytes
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)

REQUESTS = 8
"""Publish requests under way at once, per writer."""


@dataclass(frozen=True)
class PubsubSinkConfig:
    """Where messages are published to; picklable.

    Attributes:
      topic: `projects/P/topics/T`; with a template its text.
      service: where it is, and who writes it.
      template: what names each message's own topic, by what the message was made from. One whose
        topic is not there, or may not be written to, is given up.
    """

    bridge: BridgeConfig
    topic: str
    service: Service = DEFAULT
    template: Template | None = None


def _started_pool() -> ThreadPoolExecutor:
    """All threads at once: by itself a pool starts the last of them hours later."""
    pool = ThreadPoolExecutor(REQUESTS, "publish")
    started = threading.Barrier(REQUESTS + 1)
    try:
        for _ in range(REQUESTS):
            pool.submit(started.wait)
    except BaseException:  # there can be no more threads: those that wait would never end
        started.abort()
        pool.shutdown(wait=False)
        raise
    started.wait()
    return pool


class PubsubWriter:
    """Batches messages and publishes them from a pool of threads. Implements `registry.Writer`.

    `write` blocks while `max_in_flight_bytes / 4` are waiting or being published: a message in
    flight exists up to three times (record, request, transport buffer).
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
        self._template = config.template
        self._missing = MissingTopics(clock)
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
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._in_flight_bytes = 0
        self._in_flight = 0
        self._confirmed = 0
        self._closed = False
        self._failure: TransferError | None = None
        self._pool = _started_pool()
        self._timer = threading.Thread(target=self._linger, name="publish-linger", daemon=True)
        self._timer.start()

    def write(self, records: Sequence[PubsubRecord]) -> None:
        """Queues messages; blocks while too much is in flight.

        Raises:
          TransferError: an earlier message of this bundle has failed.
          RefusedError: a topic is not there, and there is no place for dead letters.
        """
        template = self._template
        if template is None:
            self._queue("", records)
            return
        for topic, of_topic in groupby(records, lambda it: template.name_for(it.made_from or it)):
            self._queue(topic, of_topic)

    def _queue(self, topic: str, records: Iterable[PubsubRecord]) -> None:
        pending = pending_of(records)
        if missing := self._missing.get(topic):
            for item in pending:
                self._give_up_one(item, missing)
            return
        with self._changed:
            lane: Lane | None = None
            for item in pending:
                while self._in_flight_bytes >= self._limit_bytes and self._failure is None:
                    self._submit_all()
                    self._changed.wait()
                    lane = None
                if self._failure is not None:
                    raise self._failure
                ordering_key = item.record.ordering_key
                if lane is None or ordering_key != lane.ordering_key:
                    lane = self._lane(topic, ordering_key)
                if not lane.waiting:
                    lane.since = self._clock()
                    self._changed.notify_all()
                self._in_flight += 1
                self._in_flight_bytes += item.size_bytes
                if lane.add(item):
                    self._submit(lane)

    def _lane(self, topic: str, ordering_key: str) -> Lane:
        lane = self._lanes.get((topic, ordering_key))
        if lane is None:
            lane = self._lanes[topic, ordering_key] = Lane(topic, ordering_key)
        return lane

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
                waiting = [lane.since for lane in self._lanes.values() if lane.sendable]
                if not waiting or self._failure is not None:
                    self._changed.wait()
                    continue
                left = min(waiting) + self._linger_s - self._clock()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._submit_all(waiting_since=self._clock() - self._linger_s)

    def _submit_all(self, waiting_since: float = float("inf")) -> None:
        for lane in list(self._lanes.values()):
            if lane.since <= waiting_since:
                self._submit(lane)

    def _submit(self, lane: Lane) -> None:
        """Sends what waits in a lane: all of it without a key, one request at a time with one."""
        while self._failure is None and not self._closed and lane.sendable:
            batch = lane.take(len(request(lane.topic or self._topic, ())))
            lane.requests += 1
            self._pool.submit(self._publish, lane, batch)

    def _publish(self, lane: Lane, batch: Sequence[Pending]) -> None:
        try:
            with self._changed:
                if self._failure is not None or self._closed:
                    return
            self._publish_or_bisect(lane.topic, batch)
        except TransferError as error:
            self._fail(error)
        except Exception as error:
            if not self._closed:
                _log.exception("publish %s", self._topic)
            self._fail(DeliveryError(f"publish {self._topic}: {type(error).__name__}"))
        finally:
            with self._changed:
                lane.requests -= 1
                if not lane.requests and not lane.waiting:
                    self._lanes.pop((lane.topic, lane.ordering_key), None)
                elif lane.ordering_key and lane.waiting:
                    self._submit(lane)
                self._changed.notify_all()

    def _publish_or_bisect(self, topic: str, batch: Sequence[Pending], attempt: int = 1) -> None:
        """Publishes a batch; a refused one in halves, in order, until the culprit stands alone."""
        try:
            self._publisher.publish([item.wire for item in batch], topic)
        except TopicError as error:
            if not topic:
                raise
            what, _, remedy = str(error).partition("; ")
            refusal = RefusedError(what, remedy)
            self._missing.add(topic, refusal)
            for item in batch:
                self._give_up_one(item, refusal, attempt)
                self._settled([item])
            return
        except RefusedError as error:
            if len(batch) == 1:
                self._give_up_one(batch[0], error, attempt)
                self._settled(batch)
                return
            half = len(batch) // 2
            self._publish_or_bisect(topic, batch[:half], attempt + 1)
            self._publish_or_bisect(topic, batch[half:], attempt + 1)
            return
        self._counts.add("delivered", len(batch))
        self._counts.add("bytes", pubsub_bytes(item.record for item in batch))
        self._settled(batch)

    def _give_up_one(self, item: Pending, error: RefusedError, attempts: int = 1) -> None:
        record = item.record
        refusal = RefusedError(
            f"{error.what} ({record.name}: {item.size_bytes} bytes, {len(record.attributes)} "
            "attributes)",
            error.remedy,
        )
        self._give_up(record.made_from or record, refusal, "write", attempts)

    def _settled(self, batch: Sequence[Pending]) -> None:
        with self._changed:
            self._confirmed += len(batch)
            self._in_flight -= len(batch)
            self._in_flight_bytes -= sum(item.size_bytes for item in batch)

    def _fail(self, error: TransferError) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
