"""The consumer on kafka-python."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kafka import (
    AsyncConsumerRebalanceListener,
    KafkaConsumer,
    OffsetAndMetadata,
    TopicPartition,
    errors,
)
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.future import Future

from transforms.errors import CommitError, OffsetGapError, SourceError
from transforms.kafka.client import (
    CLOSE_TIMEOUT_S,
    FETCH_MAX_WAIT_MS,
    SESSION_TIMEOUT_MS,
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    Partition,
    RebalanceListener,
    offset_gap,
    part_names,
    undecodable_header,
    within,
)
from transforms.kafka.kafka_python.common import (
    connect,
    connection,
    create_no_topics,
    matching,
    reason,
    timeout_ms,
)
from transforms.records import KafkaRecord, TimestampType

_log = logging.getLogger(__name__)

_TIMESTAMP_TYPES = (TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)


class _Event(NamedTuple):
    """Something the listener must hear; the group waits until `done` is set."""

    name: str
    partitions: list[Partition]
    done: Future


_Polled = dict[TopicPartition, list[Any]]
"""What the library's `poll` returns."""


class _Answer(NamedTuple):
    """How a request to the worker ended."""

    polled: _Polled
    error: Exception | None

    def get(self) -> _Polled:
        if self.error is not None:
            raise self.error
        return self.polled


class KafkaPythonConsumer:
    """A `Consumer`; see there for what each method promises.

    kafka-python calls a rebalance listener from its I/O thread, which may not block, while the
    polling thread waits inside the library. So a worker thread does the polling for a group, and
    the thread that called `poll` hears of the rebalance, and takes its time.
    """

    def __init__(self, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        self._timeout_ms = timeout_ms(config.request_timeout_s)
        half = max(1_000_000, config.fetch_bytes // 2)
        self._consumer = connect(
            KafkaConsumer,
            {
                "request_timeout_ms": max(self._timeout_ms, 2 * FETCH_MAX_WAIT_MS),
                "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
                "session_timeout_ms": SESSION_TIMEOUT_MS,
                "heartbeat_interval_ms": SESSION_TIMEOUT_MS // 3,
                "isolation_level": "read_committed",
                **connection(cluster, "consumer", config.request_timeout_s),
                "fetch_max_bytes": half,
                "max_partition_fetch_bytes": min(half, 10_000_000),
                "group_id": config.group_id,
                "group_instance_id": config.instance_id,
                "max_poll_interval_ms": config.max_poll_interval_ms,
                "metadata_max_age_ms": config.metadata_interval_ms,
                "partition_assignment_strategy": [RoundRobinPartitionAssignor],
                "auto_offset_reset": "none",
                "enable_auto_commit": False,
                "metrics_enabled": False,
            },
            SourceError,
        )
        create_no_topics(self._consumer._cluster)
        self._owned: set[TopicPartition] = set()
        self._broken: dict[Partition, Exception] = {}
        self._listener: RebalanceListener | None = None
        self._error: Exception | None = None
        self._requests: queue.SimpleQueue[Callable[[], _Polled] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Event | _Answer] = queue.SimpleQueue()
        self._joining = False
        self._relay: _Relay | None = None
        self._worker: threading.Thread | None = None
        self._closed = False

    # -- ownership

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        self._listener = listener
        relay = self._relay = _Relay(self._answers)
        if topics[0].startswith("^"):
            self._consumer.subscribe(pattern=topics[0], listener=relay)
        else:
            self._consumer.subscribe(topics=list(topics), listener=relay)
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="kafka-poll", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._answers.put(_Answer(request(), None))
            except Exception as error:
                self._answers.put(_Answer({}, error))

    def _poll(self, deadline: float, max_records: int) -> _Polled:
        if self._worker is None:
            return self._take(deadline, max_records)
        if not self._joining and self._must_join():
            self._joining = True
            self._requests.put(self._join)
        if self._joining:
            if (answer := self._answer(deadline)) is None:
                return {}  # a later poll hears of it
            self._joining = False
            answer.get()
        self._requests.put(lambda: self._take(deadline, max_records))
        answer = self._answer(None)
        assert answer is not None
        return answer.get()

    def _take(self, deadline: float, max_records: int) -> _Polled:
        left_ms = max(0, int((deadline - time.monotonic()) * 1000))
        return self._consumer.poll(left_ms, max_records)  # type: ignore[no-any-return]

    def _fenced(self) -> bool:
        """As of 3.0, a static member that was replaced only stops its heartbeat, and sits idle."""
        group = self._consumer._coordinator
        return self._worker is not None and group.stable() and not group._heartbeat_enabled

    def _must_join(self) -> bool:
        group = self._consumer._coordinator
        return bool(group.rejoining or group.need_rejoin())

    def _join(self) -> _Polled:
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
            self._hear(answer)

    def _hear(self, event: _Event) -> None:
        """Tells the listener; the poll raises its error once the group goes on."""
        self._broken.clear()
        assigned = event.name == "on_assigned"
        try:
            if assigned:
                self._owned = {TopicPartition(*part) for part in event.partitions}
            if self._listener is not None and event.partitions:
                offsets = getattr(self._listener, event.name)(event.partitions)
                if assigned:
                    self._begin(event.partitions, offsets)
        except Exception as error:
            self._error = error
            if assigned:
                self._broken = dict.fromkeys(event.partitions, error)
        finally:
            if not assigned:
                self._owned = set()
            self._resolve(event.done)

    def _begin(self, partitions: list[Partition], offsets: Offsets) -> None:
        if offsets.keys() != set(partitions):
            raise SourceError(f"begin {part_names(partitions)}: no offset for each of them")
        for part, offset in offsets.items():
            self._consumer.seek(TopicPartition(*part), offset)

    def _resolve(self, done: Future) -> None:
        # The library offers no public way to wake its loop for a future of one's own.
        self._consumer._net.call_soon_threadsafe(lambda: done.success(None))

    def assign(self, positions: Offsets) -> None:
        wanted = {TopicPartition(*part): offset for part, offset in positions.items()}
        kept = {part: self._position(part) for part in self._owned if part in wanted}
        self._consumer.assign(list(wanted))
        for part, offset in wanted.items():
            if part not in kept:
                self._consumer.seek(part, offset)
        self._owned = set(wanted)
        self._broken = {part: error for part, error in self._broken.items() if part in positions}

    # -- reading

    def poll(self, timeout_s: float, max_records: int) -> list[KafkaRecord]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._raise_pending()
            try:
                polled = self._poll(deadline, max_records)
            except Exception as error:
                self._on_poll_failed(error)
                polled = {}
            self._raise_pending()
            if polled or time.monotonic() >= deadline:
                return _records(polled)

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._fenced():
            raise SourceError("read: another member has the same --instance_id; give each its own")
        for broken in self._broken.values():
            raise broken

    def _on_poll_failed(self, error: Exception) -> None:
        """Sorts what a poll raised: a partition that cannot be read on, an end, or a hiccup."""
        self._raise_pending()
        if isinstance(error, errors.OffsetOutOfRangeError):
            for part, offset in error.args[0].items():
                self._break(part, self._gap(part, offset))
        elif isinstance(error, errors.LogTruncationError):
            for part in error.divergent_offsets:
                self._break(part, self._gap(part, self._position(part) or 0))
        elif isinstance(error, (errors.CorruptRecordError, errors.UnsupportedCodecError)):
            self._on_unreadable(error)
        elif isinstance(error, errors.RetriableError):
            _log.warning("poll: %s", reason(error))
        else:
            raise SourceError(f"read: {reason(error)}") from error

    def _on_unreadable(self, error: Exception) -> None:
        """The library does not say where it failed; its buffer of that partition is of no use.

        It reads a batch from its beginning: what follows in the same batch stays out of reach.
        """
        buffer = self._consumer._fetcher._next_partition_records
        if buffer is None:
            raise SourceError(f"read: {reason(error)}") from error
        part, offset = buffer.topic_partition, buffer.next_fetch_offset
        buffer.drain()
        where = f"{part.topic}/{part.partition}@{offset}"
        if "utf-8" in str(error):
            broken = undecodable_header(part.topic, part.partition, offset)
        elif isinstance(error, errors.UnsupportedCodecError):
            broken = SourceError(
                f"read {where}: {reason(error)}; install the package of that compression, or use "
                "--kafka_client=librdkafka"
            )
        else:
            broken = SourceError(f"read {where}: {reason(error)}")
        broken.__cause__ = error
        self._break(part, broken)

    def _break(self, part: TopicPartition, error: SourceError) -> None:
        """Reads no more of a partition: every poll raises, until it is sought or released."""
        self._broken.setdefault((part.topic, part.partition), error)

    def _gap(self, part: TopicPartition, offset: int) -> OffsetGapError:
        where = (part.topic, part.partition)
        try:
            return offset_gap(where, offset, self.watermarks([where])[where])
        except SourceError:
            return offset_gap(where, offset, None)

    def seek(self, positions: Offsets) -> None:
        wanted = {TopicPartition(*part): offset for part, offset in positions.items()}
        if not wanted.keys() <= self._owned:
            raise SourceError(f"seek {part_names(wanted.keys() - self._owned)}: not assigned")
        for part, offset in wanted.items():
            self._consumer.seek(part, offset)
            self._broken.pop((part.topic, part.partition), None)

    def positions(self) -> dict[Partition, int]:
        found = {part: self._position(part) for part in list(self._owned)}
        return {
            (part.topic, part.partition): offset
            for part, offset in found.items()
            if offset is not None
        }

    def _position(self, part: TopicPartition) -> int | None:
        # The public `position` may ask a broker.
        state = self._consumer._subscription.assignment.get(part)
        return None if state is None or state.position is None else int(state.position.offset)

    # -- asking

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        try:
            # The public `committed` asks for one partition at a time.
            answer = self._consumer._coordinator.fetch_committed_offsets(
                asked, timeout_ms=self._timeout_ms
            )
        except errors.KafkaError as error:
            raise SourceError(f"read committed offsets: {reason(error)}") from error
        return {(part.topic, part.partition): found.offset for part, found in answer.items()}

    def commit(self, offsets: Offsets) -> None:
        if not offsets:
            return
        asked = {
            TopicPartition(*part): OffsetAndMetadata(offset, "", -1)
            for part, offset in offsets.items()
        }
        try:
            self._consumer.commit(asked, timeout_ms=self._timeout_ms)
        except errors.KafkaError as error:
            raise CommitError(f"commit {part_names(offsets)}: {reason(error)}") from error

    def watermarks(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        try:
            first = self._consumer.beginning_offsets(asked, timeout_ms=self._timeout_ms)
            end = self._consumer.end_offsets(asked, timeout_ms=self._timeout_ms)
        except errors.KafkaError as error:
            names = part_names((part.topic, part.partition) for part in asked)
            raise SourceError(f"read offsets of {names}: {reason(error)}") from error
        return {(part.topic, part.partition): (first[part], end[part]) for part in asked}

    def lag(self) -> int | None:
        total = 0
        for part in list(self._owned):
            state = self._consumer._subscription.assignment.get(part)
            if state is None or state.position is None or state.highwater is None:
                return None
            total += max(0, state.highwater - state.position.offset)
        return total

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        try:
            known = within(self._timeout_ms / 1000, self._consumer.topics)
        except (errors.KafkaError, TimeoutError) as error:
            raise SourceError(f"list topics: {reason(error)}") from error
        if topics and topics[0].startswith("^"):
            names = matching(known, topics[0])
        else:
            names = [name for name in topics if name in known]
        cluster = self._consumer._cluster
        return [
            (name, number)
            for name in names
            for number in sorted(cluster.partitions_for_topic(name) or ())
        ]

    # -- ending

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._listener = None
        self._owned = set()
        self._requests.put(None)
        if self._relay is not None:
            self._relay.closing = True
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, lambda: self._consumer.close(False, 5_000))


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


def _records(polled: _Polled) -> list[KafkaRecord]:
    records: list[KafkaRecord] = []
    new = tuple.__new__
    for (topic, partition), found in polled.items():
        records += [
            new(
                KafkaRecord,
                (
                    topic,
                    partition,
                    offset,
                    timestamp_ms if timestamp_ms != -1 else None,
                    _TIMESTAMP_TYPES[kind] if timestamp_ms != -1 else TimestampType.NONE,
                    key,
                    value,
                    tuple(headers),
                    None,
                ),
            )
            for _, _, _, offset, timestamp_ms, kind, key, value, headers, _, _, _, _ in found
        ]
    return records
