"""Polling for a member of a group, on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.future import Future

from transforms.kafka.client import Partition

Polled = dict[TopicPartition, list[Any]]
"""What the library's `poll` returns."""


class _Event(NamedTuple):
    """Something the listener must hear; the group waits until `done` is set."""

    name: str
    partitions: list[Partition]
    done: Future


class _Answer(NamedTuple):
    """How a request to the worker ended."""

    polled: Polled
    error: Exception | None

    def get(self) -> Polled:
        if self.error is not None:
            raise self.error
        return self.polled


def take(consumer: KafkaConsumer, deadline: float, max_records: int) -> Polled:
    """Polls until something is there, or the deadline (on the monotonic clock) has come."""
    left_ms = max(0, int((deadline - time.monotonic()) * 1000))
    return consumer.poll(left_ms, max_records)  # type: ignore[no-any-return]


class GroupPolling:
    """Polls for a member of a group, and passes on what the group tells it.

    kafka-python calls a rebalance listener from its I/O thread, which may not block, while the
    polling thread waits inside the library. So a worker thread does the polling, and the thread
    that called `poll` hears of the rebalance, and takes its time.

    Attributes:
      relay: the listener to subscribe with.
    """

    def __init__(
        self, consumer: KafkaConsumer, hear: Callable[[str, list[Partition]], None]
    ) -> None:
        """Args: `hear` takes the name of a method of `RebalanceListener` and its argument; it
        raises nothing."""
        self._consumer = consumer
        self._hear = hear
        self._requests: queue.SimpleQueue[Callable[[], Polled] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Event | _Answer] = queue.SimpleQueue()
        self._joining = False
        self.relay = _Relay(self._answers)
        threading.Thread(target=self._work, name="kafka-poll", daemon=True).start()

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._answers.put(_Answer(request(), None))
            except Exception as error:
                self._answers.put(_Answer({}, error))

    def poll(self, deadline: float, max_records: int) -> Polled:
        """As `take`; and joins the group where need be, if that takes several calls."""
        if not self._joining and self._must_join():
            self._joining = True
            self._requests.put(self._join)
        if self._joining:
            if (answer := self._answer(deadline)) is None:
                return {}  # a later poll hears of it
            self._joining = False
            answer.get()
        self._requests.put(lambda: take(self._consumer, deadline, max_records))
        answer = self._answer(None)
        assert answer is not None
        return answer.get()

    def fenced(self) -> bool:
        """As of 3.0, a static member that was replaced only stops its heartbeat, and sits idle."""
        group = self._consumer._coordinator
        is_static = self._consumer.config["group_instance_id"] is not None
        return bool(is_static and group.stable() and not group._heartbeat_enabled)

    def _must_join(self) -> bool:
        group = self._consumer._coordinator
        return bool(group.rejoining or group.need_rejoin())

    def _join(self) -> Polled:
        """Joins the group, however long it takes.

        As of 3.0, a `poll` whose time ends while the group leader joins for new partitions forgets
        about it: the library believes that there is no need to, and the member sits idle.
        """
        group = self._consumer._coordinator
        if group.rejoining:
            group.request_rejoin()
        group.poll(timeout_ms=None)
        return {}

    def _answer(self, deadline: float | None) -> _Answer | None:
        """Waits for the worker, and meanwhile tells the listener; None when time is up."""
        while True:
            try:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                answer = self._answers.get(timeout=left)
            except queue.Empty:
                return None
            if isinstance(answer, _Answer):
                return answer
            try:
                self._hear(answer.name, answer.partitions)
            finally:
                self._resolve(answer.done)

    def _resolve(self, done: Future) -> None:
        # The library offers no public way to wake its loop for a future of one's own.
        self._consumer._net.call_soon_threadsafe(lambda: done.success(None))

    def close(self) -> None:
        """Ends the worker after its request, and tells nothing any more."""
        self._requests.put(None)
        self.relay.closing = True


class _Relay(AsyncConsumerRebalanceListener):
    """Runs on the library's I/O thread: passes events on, and waits without blocking it."""

    def __init__(self, answers: queue.SimpleQueue[_Event | _Answer]) -> None:
        self._answers = answers
        self.closing = False

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._tell("on_assigned", assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._tell("on_revoked", revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        await self._tell("on_lost", lost)

    async def _tell(self, name: str, parts: Iterable[TopicPartition]) -> None:
        if self.closing:
            return
        event = _Event(name, sorted((part.topic, part.partition) for part in parts), Future())
        self._answers.put(event)
        await event.done
