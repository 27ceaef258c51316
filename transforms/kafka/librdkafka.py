"""Consumer and producer on librdkafka (confluent-kafka). The only module that imports it."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from transforms.errors import (
    CommitError,
    DeliveryError,
    OffsetGapError,
    RefusedError,
    SourceError,
    TransferError,
    UsageError,
)
from transforms.kafka import config as properties
from transforms.kafka.client import (
    CLOSE_TIMEOUT_S,
    FETCH_MAX_WAIT_MS,
    SESSION_TIMEOUT_MS,
    ConsumerConfig,
    Failure,
    KafkaConfig,
    Offsets,
    Partition,
    ProducerConfig,
    RebalanceListener,
    offset_gap,
    part_names,
    record_too_large,
    undecodable_header,
    within,
)
from transforms.records import KafkaRecord, TimestampType

_log = logging.getLogger(__name__)

_METADATA_TIMEOUT_S = 2.0
"""Longest that a poll waits for the list of topics, when it looks for new ones."""

_SLICE_S = 0.05
"""confluent-kafka lets one thread at a time into a consumer, and polls are never interrupted: a
long one is cut into slices, so that other threads get in between."""

_UNKNOWN_TOPIC_MS = 10_000
"""A topic that the brokers have not heard of for so long does not exist."""

_LAG_INTERVAL_S = 0.5
"""How often a busy consumer works out its lag."""

_TIMESTAMP_TYPES = (TimestampType.NONE, TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)
"""Indexed by librdkafka's rd_kafka_timestamp_type_t."""

_INTERNAL_TOPICS = {"__consumer_offsets", "__transaction_state", "__share_group_state"}

_AUTHORIZATION = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}

_SOURCE_ERRORS = _AUTHORIZATION | {
    KafkaError._BAD_MSG,
    KafkaError._BAD_COMPRESSION,
    KafkaError._FATAL,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.INVALID_MSG,
}
"""What ends a consumer; librdkafka gets over every other error by itself."""

_REFUSALS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._INVALID_ARG,
}
"""What trying again cannot help."""

_TOO_LARGE = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
}


class _Turns:
    """Who may call the consumer: other threads before the polling one, which would starve them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: set[object] = set()

    @contextlib.contextmanager
    def ask(self) -> Iterator[None]:
        """For a call; within a callback of the poll it is granted at once."""
        ticket = object()
        self._waiting.add(ticket)
        with self._lock:
            self._waiting.discard(ticket)
            yield

    @contextlib.contextmanager
    def poll(self) -> Iterator[None]:
        """For a slice of a poll."""
        while self._waiting:
            time.sleep(0.0005)
        with self._lock:
            yield


class LibrdkafkaConsumer:
    """A `Consumer`; see there for what each method promises."""

    def __init__(self, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        self._timeout_s = config.request_timeout_s
        self._metadata_interval_s = config.metadata_interval_ms / 1000
        self._consumer = _open(
            confluent_kafka.Consumer,
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "socket.timeout.ms": int(config.request_timeout_s * 1000),
                "session.timeout.ms": SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 3,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": FETCH_MAX_WAIT_MS,
                "check.crcs": True,
                **properties.for_librdkafka(cluster.properties, "consumer"),
                **_fetch_limits(config.fetch_bytes),
                "group.id": config.group_id,
                **({"group.instance.id": config.instance_id} if config.instance_id else {}),
                "max.poll.interval.ms": config.max_poll_interval_ms,
                "topic.metadata.refresh.interval.ms": config.metadata_interval_ms,
                "partition.assignment.strategy": "roundrobin",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "log.connection.close": False,
                "allow.auto.create.topics": False,
                "error_cb": self._on_error,
            },
        )
        self._listener: RebalanceListener | None = None
        self._pattern: re.Pattern[str] | None = None
        self._subscribed: list[str] = []
        self._next_metadata_s = 0.0
        self._starts: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._broken: dict[Partition, tuple[int, Exception]] = {}
        self._rebalances = 0
        self._turns = _Turns()
        self._said = _Log()
        self._lag: int | None = None
        self._next_lag_s = 0.0
        self._error: Exception | None = None
        self._closed = False

    # -- ownership

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        self._listener = listener
        if topics[0].startswith("^"):
            self._pattern = re.compile(topics[0])
        else:
            self._subscribe(list(topics))

    def _subscribe(self, topics: list[str]) -> None:
        self._subscribed = topics
        if topics:
            self._consumer.subscribe(
                topics,
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
        else:
            self._consumer.unsubscribe()

    def _look_for_topics(self) -> None:
        """Subscribes to what matches the pattern by now.

        librdkafka's own patterns are POSIX ones, which know no `\\d`; the other client's are not.
        """
        now = time.monotonic()
        if now < self._next_metadata_s:
            return
        self._next_metadata_s = now + self._metadata_interval_s
        assert self._pattern is not None
        try:
            with self._turns.ask():
                metadata = self._consumer.list_topics(timeout=_METADATA_TIMEOUT_S)
        except KafkaException as error:
            _log.warning("list topics: %s; asked again later", _reason(error))
            self._next_metadata_s = now + min(1.0, self._metadata_interval_s)
            return
        topics = _matching(metadata.topics, self._pattern)
        if topics != self._subscribed:
            self._subscribe(topics)

    def _on_assign(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        owned = [(part.topic, part.partition) for part in parts]
        offsets = self._tell("on_assigned", owned)
        if offsets is not None and offsets.keys() == set(owned):
            self._begin(offsets)
            return
        error = self._error or SourceError(f"begin {part_names(owned)}: no offset for each of them")
        self._begin({})
        self._broken = dict.fromkeys(owned, (0, error))

    def _on_revoke(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        self._tell("on_revoked", [(part.topic, part.partition) for part in parts])

    def _on_lost(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        self._tell("on_lost", [(part.topic, part.partition) for part in parts])

    def _tell(self, event: str, parts: list[Partition]) -> Any:
        """Calls the listener; the poll raises its error, since librdkafka would lose records."""
        self._rebalances += 1
        answer = None
        if self._listener is not None:
            try:
                answer = getattr(self._listener, event)(parts)
            except Exception as error:
                self._error = self._error or error
        self._starts, self._ends, self._broken = {}, {}, {}
        return answer

    def assign(self, positions: Offsets) -> None:
        gone = [part for part in self._starts if part not in positions]
        new = {part: at for part, at in positions.items() if part not in self._starts}
        try:
            with self._turns.ask():
                if gone:
                    self._consumer.incremental_unassign([TopicPartition(*part) for part in gone])
                if new:
                    self._consumer.incremental_assign(
                        [TopicPartition(*part, at) for part, at in new.items()]
                    )
        except KafkaException as error:
            raise SourceError(f"assign {part_names([*gone, *new])}: {_reason(error)}") from error
        self._starts = {part: at for part, at in self._starts.items() if part in positions} | new
        for part in gone:
            self._ends.pop(part, None)
            self._broken.pop(part, None)

    # -- reading

    def poll(self, timeout_s: float, max_records: int) -> list[KafkaRecord]:
        deadline = time.monotonic() + timeout_s
        self._raise_pending()
        if self._pattern is not None:
            self._look_for_topics()
        while True:
            left = deadline - time.monotonic()
            with self._turns.poll():
                messages = self._take(max(0.0, min(left, _SLICE_S)), max_records)
                records = self._records(messages)
                self._work_out_lag(idle=not records)
            if not records:
                self._raise_pending()
            if records or (not messages and left <= _SLICE_S):
                return records

    def _take(self, timeout_s: float, max_messages: int) -> list[Message]:
        """What is there; waits for the first one only (`consume` would wait for all)."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        if max_messages == 1:
            return [first]
        rebalances = self._rebalances
        rest = self._consumer.consume(max_messages - 1, 0)
        # A rebalance in between took away what `first` belongs to; the rest is newer.
        return [first, *rest] if rebalances == self._rebalances else rest

    def _records(self, messages: list[Message]) -> list[KafkaRecord]:
        """Turns messages into records, as far as each partition can be read."""
        records: list[KafkaRecord] = []
        append = records.append
        new = tuple.__new__
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_event(message, error)
                continue
            if self._broken and _partition(message) in self._broken:
                continue
            try:
                headers = message.headers()
                kind, timestamp_ms = message.timestamp()
                record = new(
                    KafkaRecord,
                    (
                        message.topic(),
                        message.partition(),
                        message.offset(),
                        timestamp_ms if kind else None,
                        _TIMESTAMP_TYPES[kind],
                        message.key(),
                        message.value(),
                        tuple(headers) if headers else (),
                        None,
                    ),
                )
            except (SystemError, UnicodeDecodeError) as cause:
                # `headers()` returns a broken list with an error set behind it, which Python
                # notices at the latest in `new`.
                self._break(message, _undecodable(message, cause))
            else:
                append(record)
        return records

    def _on_event(self, message: Message, error: KafkaError) -> None:
        """What comes among the records and is none; librdkafka gets over most by itself."""
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._ends[_partition(message)] = _offset(message)
        elif code == KafkaError._AUTO_OFFSET_RESET:
            self._break(message, self._gap(_partition(message), _offset(message)))
        elif (error.fatal() or code in _SOURCE_ERRORS) and message.topic() is None:
            self._error = self._error or SourceError(f"read: {error.str()}")
        elif error.fatal() or code in _SOURCE_ERRORS:
            topic, partition = _partition(message)
            where = f"{topic}/{partition}@{message.offset()}"
            self._break(message, SourceError(f"read {where}: {error.str()}"))
        else:
            self._said.log(logging.WARNING, "%s: %s", "consumer", error.str())

    def _break(self, message: Message, error: SourceError) -> None:
        """Reads no more of a partition: every poll raises, until it is sought or released."""
        where = _partition(message)
        if where in self._starts:
            self._broken.setdefault(where, (_offset(message), error))

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        for _, broken in self._broken.values():
            raise broken

    def _gap(self, where: Partition, offset: int) -> OffsetGapError:
        try:
            return offset_gap(where, offset, self.watermarks([where])[where])
        except SourceError:
            return offset_gap(where, offset, None)

    def seek(self, positions: Offsets) -> None:
        strangers = [part for part in positions if part not in self._starts]
        if strangers:
            raise SourceError(f"seek {part_names(strangers)}: not assigned")
        for part in positions:
            self._broken.pop(part, None)
            self._ends.pop(part, None)
        # librdkafka's own seek() has no deadline, and refuses a partition that is stuck.
        self._begin({**self.positions(), **positions})

    def _begin(self, positions: Offsets) -> None:
        self._starts = dict(positions)
        with self._turns.ask():
            self._consumer.assign([TopicPartition(*part, at) for part, at in positions.items()])

    def positions(self) -> dict[Partition, int]:
        starts = self._starts
        with self._turns.ask():
            consumed = self._consumer.position([TopicPartition(*part) for part in starts])
        reached = {(part.topic, part.partition): part.offset for part in consumed}
        found = {}
        for part, start in starts.items():
            if part in self._broken:
                found[part] = self._broken[part][0]
            else:
                found[part] = max(
                    reached[part] if reached[part] >= 0 else start, self._ends.get(part, 0)
                )
        return found

    def _work_out_lag(self, idle: bool) -> None:
        now = time.monotonic()
        if now < self._next_lag_s and not (idle and self._lag):
            return
        self._next_lag_s = now + _LAG_INTERVAL_S
        total = 0
        for part, position in self.positions().items():
            marks = self._consumer.get_watermark_offsets(TopicPartition(*part), cached=True)
            if marks is None or marks[1] < 0:
                self._lag = None
                return
            total += max(0, marks[1] - position)
        self._lag = total

    # -- asking

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        try:
            with self._turns.ask():
                answer = self._consumer.committed(asked, timeout=self._timeout_s)
        except KafkaException as error:
            raise SourceError(f"read committed offsets: {_reason(error)}") from error
        for part in answer:
            if part.error is not None:
                raise SourceError(
                    f"read committed offset {part.topic}/{part.partition}: {part.error.str()}"
                )
        return {(part.topic, part.partition): part.offset for part in answer if part.offset >= 0}

    def commit(self, offsets: Offsets) -> None:
        if not offsets:
            return
        asked = [TopicPartition(*part, offset) for part, offset in offsets.items()]
        try:
            with self._turns.ask():
                # Without a coordinator a commit takes 45 s to fail; this asks for it first, with a
                # deadline.
                self._consumer.committed(asked[:1], timeout=self._timeout_s)
                answer = self._consumer.commit(offsets=asked, asynchronous=False)
        except KafkaException as error:
            raise CommitError(f"commit {part_names(offsets)}: {_reason(error)}") from error
        for part in answer:
            if part.error is not None:
                raise CommitError(f"commit {part.topic}/{part.partition}: {part.error.str()}")

    def watermarks(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        found = {}
        for part in partitions:
            try:
                with self._turns.ask():
                    found[part] = self._consumer.get_watermark_offsets(
                        TopicPartition(*part), timeout=self._timeout_s
                    )
            except KafkaException as error:
                raise SourceError(
                    f"read offsets of {part_names([part])}: {_reason(error)}"
                ) from error
        return found

    def lag(self) -> int | None:
        return self._lag

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        try:
            with self._turns.ask():
                known = self._consumer.list_topics(timeout=self._timeout_s).topics
        except KafkaException as error:
            raise SourceError(f"list topics: {_reason(error)}") from error
        if topics and topics[0].startswith("^"):
            names = _matching(known, re.compile(topics[0]))
        else:
            names = [name for name in topics if name in known]
        return [(name, number) for name in names for number in sorted(known[name].partitions)]

    # -- ending

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._listener = None
        self._starts, self._ends = {}, {}
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, self._consumer.close)

    def _on_error(self, error: KafkaError) -> None:
        """Client-wide errors; those of a partition come as messages."""
        if error.fatal() or error.code() in _SOURCE_ERRORS:
            self._error = self._error or SourceError(f"read: {error.str()}")
        else:
            self._said.log(logging.WARNING, "%s: %s", "consumer", error.str())


class LibrdkafkaProducer:
    """A `Producer`; see there for what each method promises."""

    _POLL_EVERY = 100
    """Records between two looks at what was confirmed; each look frees their memory."""

    def __init__(self, cluster: KafkaConfig, config: ProducerConfig) -> None:
        self._config = config
        max_bytes = config.max_message_bytes
        self._producer = _open(
            confluent_kafka.Producer,
            {
                "bootstrap.servers": cluster.bootstrap_servers,
                "batch.size": min(1_000_000, max_bytes),
                **properties.for_librdkafka(cluster.properties, "producer"),
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": config.linger_ms,
                "log.connection.close": False,
                "message.timeout.ms": max(1, int(config.delivery_timeout_s * 1000)),
                "topic.metadata.propagation.max.ms": min(
                    _UNKNOWN_TOPIC_MS, int(config.delivery_timeout_s * 500)
                ),
                "message.max.bytes": max(1000, max_bytes),
                "queue.buffering.max.kbytes": max(config.buffer_bytes, max_bytes) // 1024 + 1,
                "delivery.report.only.error": True,
                "allow.auto.create.topics": False,
                "error_cb": self._on_error,
            },
        )
        self._produce = self._producer.produce
        self._poll = self._producer.poll
        self._failures: list[Failure] = []
        self._again: list[KafkaRecord] = []
        self._until_poll = self._POLL_EVERY
        self._cause: str | None = None
        self._closed = False

    def produce(self, record: KafkaRecord) -> None:
        topic, partition, _, timestamp_ms, _, key, value, headers, _ = record
        if timestamp_ms == 0:
            self._failures.append(Failure(record, _unwritable_timestamp(record)))
            return
        try:
            self._produce(
                topic,
                value,
                key,
                -1 if partition is None else partition,
                partial(self._on_failed, record),
                None,
                timestamp_ms or 0,
                list(headers) if headers else None,
            )
        except BufferError:
            self._wait_for_room(record)
            self.produce(record)
            return
        except KafkaException as error:
            self._on_failed(record, error.args[0], None)
        self._until_poll -= 1
        if self._until_poll <= 0:
            self._until_poll = self._POLL_EVERY
            self._poll(0)

    def _wait_for_room(self, record: KafkaRecord) -> None:
        deadline = time.monotonic() + self._config.delivery_timeout_s
        waiting = len(self._producer)
        while len(self._producer) >= waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeliveryError(
                    f"produce {record.name}: the buffer stayed full for "
                    f"{self._config.delivery_timeout_s:g} s{self._because()}"
                )
            self._poll(min(left, 0.1))

    def in_flight(self) -> int:
        self._poll(0)
        return len(self._producer) + len(self._again)

    def flush(self, timeout_s: float) -> list[Failure]:
        deadline = time.monotonic() + timeout_s
        self._await_all(timeout_s, timeout_s)
        while self._again:
            again, self._again = self._again, []
            for record in again:
                self.produce(record)
            self._await_all(max(0.0, deadline - time.monotonic()), timeout_s)
        failures, self._failures = self._failures, []
        return failures

    def _await_all(self, left_s: float, timeout_s: float) -> None:
        if remaining := self._producer.flush(left_s):
            raise DeliveryError(
                f"flush: {remaining} records not confirmed within {timeout_s:g} s{self._because()}"
            )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._producer.purge()
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, self._producer.close)
        self._failures = []

    def _on_failed(self, record: KafkaRecord, error: KafkaError, _: Message | None) -> None:
        if error.code() == KafkaError._INVALID_DIFFERENT_RECORD:
            self._again.append(record)
        else:
            self._failures.append(Failure(record, self._failure(record, error)))

    def _failure(self, record: KafkaRecord, error: KafkaError) -> TransferError:
        code = error.code()
        if code in _TOO_LARGE:
            return record_too_large(record, self._config.max_message_bytes)
        if code == KafkaError._MSG_TIMED_OUT:
            return DeliveryError(
                f"produce {record.name}: not confirmed within "
                f"{self._config.delivery_timeout_s:g} s{self._because()}"
            )
        kind = RefusedError if code in _REFUSALS else DeliveryError
        return kind(f"produce {record.name}: {error.str()}")

    def _because(self) -> str:
        return f": {self._cause}" if self._cause else ""

    def _on_error(self, error: KafkaError) -> None:
        """Client-wide errors: the cause of what fails later."""
        self._cause = error.str()


# -- what both need --------------------------------------------------------------------------------


class _Log:
    """Where librdkafka logs to; it says some 20 times a second that a broker is away."""

    _REPEAT_AFTER_S = 30.0

    def __init__(self) -> None:
        self._said_s: dict[str, float] = {}

    def log(self, level: int, text: str, *values: object) -> None:
        key = re.sub(r"[0-9]+", "", f"{values[0]} {values[-1]}")
        now = time.monotonic()
        if now - self._said_s.get(key, -self._REPEAT_AFTER_S) < self._REPEAT_AFTER_S:
            return
        if len(self._said_s) > 1000:
            self._said_s.clear()
        self._said_s[key] = now
        _log.log(level, text, *values)


def _open(client: Callable[..., Any], settings: dict[str, Any]) -> Any:
    try:
        return client(settings, logger=_Log())
    except KafkaException as error:
        raise UsageError(f"open librdkafka: {_reason(error)}; see --kafka_config") from error


def _fetch_limits(fetch_bytes: int) -> dict[str, int]:
    """Half of the bytes may wait in the queue, half may be under way. One message always fits."""
    half = max(1_000_000, fetch_bytes // 2)
    return {
        "fetch.max.bytes": half,
        "max.partition.fetch.bytes": min(half, 10_000_000),
        "receive.message.max.bytes": max(100_000_000, half + 1_000_000),
        "queued.max.messages.kbytes": half // 1024,
        "fetch.queue.backoff.ms": 10,
    }


def _matching(topics: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    return sorted(name for name in topics if pattern.match(name) and name not in _INTERNAL_TOPICS)


def _partition(message: Message) -> Partition:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    return topic, partition


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def _undecodable(message: Message, cause: Exception) -> SourceError:
    topic, partition = _partition(message)
    error = undecodable_header(topic, partition, message.offset())
    error.__cause__ = cause
    return error


def _unwritable_timestamp(record: KafkaRecord) -> RefusedError:
    return RefusedError(
        f"produce {record.name}: librdkafka writes the present for timestamp 0; "
        "use --kafka_client=kafka-python or set --dead_letter"
    )


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(cause.str()) if isinstance(cause, KafkaError) else str(cause)
