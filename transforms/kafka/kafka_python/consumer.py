"""The consumer on kafka-python."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition, errors
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from transforms.deadlines import within
from transforms.errors import SourceError, UnavailableError
from transforms.kafka.client import (
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    Partition,
    RebalanceListener,
)
from transforms.kafka.client_errors import no_beginning, not_assigned, offset_gap, part_names
from transforms.kafka.client_rules import (
    CLOSE_TIMEOUT_S,
    FETCH_MAX_WAIT_MS,
    HEARTBEAT_INTERVAL_MS,
    SESSION_TIMEOUT_MS,
    fetch_limits,
)
from transforms.kafka.kafka_python.asking import AskingConsumer
from transforms.kafka.kafka_python.common import (
    connect,
    connection,
    create_no_topics,
    reason,
    timeout_ms,
)
from transforms.kafka.kafka_python.group import GroupPolling, Polled, take
from transforms.kafka.kafka_python.header_names import read_all_names
from transforms.records import KafkaRecord, TimestampType

_TIMESTAMP_TYPES = (TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)


class KafkaPythonConsumer(AskingConsumer):
    """A `Consumer`; see there for what each method promises."""

    def __init__(self, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        read_all_names()
        consumer = connect(KafkaConsumer, _settings(cluster, config), SourceError)
        super().__init__(consumer, config.request_timeout_s)
        create_no_topics(self._consumer._cluster)
        self._owned: set[Partition] = set()
        self._broken: dict[Partition, Exception] = {}
        self._listener: RebalanceListener | None = None
        self._group: GroupPolling | None = None
        self._error: Exception | None = None
        self._closed = False

    # -- ownership

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        self._listener = listener
        self._group = group = self._group or GroupPolling(self._consumer, self._hear)
        if topics[0].startswith("^"):
            self._consumer.subscribe(pattern=topics[0], listener=group.relay)
        else:
            self._consumer.subscribe(topics=list(topics), listener=group.relay)

    def _hear(self, event: str, partitions: list[Partition]) -> None:
        """Tells the listener; the poll raises its error once the group goes on."""
        self._broken.clear()
        assigned = event == "on_assigned"
        try:
            if assigned:
                self._owned = set(partitions)
            if self._listener is not None and partitions:
                offsets = getattr(self._listener, event)(partitions)
                if assigned:
                    self._begin(partitions, offsets)
        except Exception as error:
            self._error = error
            if assigned:
                self._broken = dict.fromkeys(partitions, error)
        finally:
            if not assigned:
                self._owned = set()

    def _begin(self, partitions: list[Partition], offsets: Offsets) -> None:
        if offsets.keys() != set(partitions):
            raise no_beginning(partitions)
        self._forget_fetched()
        self._go_to(offsets)

    def _forget_fetched(self) -> None:
        """As of 3.0 what was fetched from the very offset that is sought is kept: it may be of a
        topic that had this name, and was deleted."""
        fetcher = self._consumer._fetcher
        fetcher._completed_fetches.clear()
        if fetcher._next_partition_records is not None:
            fetcher._next_partition_records.drain()

    def _go_to(self, offsets: Offsets) -> None:
        for part, offset in offsets.items():
            self._consumer.seek(TopicPartition(*part), offset)

    def assign(self, positions: Offsets) -> None:
        new = {part: at for part, at in positions.items() if part not in self._owned}
        self._consumer.assign([TopicPartition(*part) for part in positions])
        self._go_to(new)
        self._owned = set(positions)
        self._broken = {part: error for part, error in self._broken.items() if part in positions}

    # -- reading

    def poll(self, timeout_s: float, max_records: int) -> list[KafkaRecord]:
        deadline = time.monotonic() + timeout_s
        while True:
            self._raise_pending()
            try:
                if self._group is None:
                    polled = take(self._consumer, deadline, max_records)
                else:
                    polled = self._group.poll(deadline, max_records)
            except Exception as error:
                self._on_poll_failed(error)
                polled = {}
            if polled:
                return _records(polled)
            self._raise_pending()
            if time.monotonic() >= deadline:
                return []

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._group is not None and self._group.fenced():
            raise SourceError("read: another member has the same --instance_id; give each its own")
        for broken in self._broken.values():
            raise broken

    def _on_poll_failed(self, error: Exception) -> None:
        """Sorts what a poll raised: a partition that cannot be read on, an end, or a hiccup."""
        self._raise_pending()
        if isinstance(error, errors.OffsetOutOfRangeError):
            for part, offset in error.args[0].items():
                self._break_at_gap(part, offset)
        elif isinstance(error, errors.LogTruncationError):
            for part in error.divergent_offsets:
                state, cut = self._reading(part), error.divergent_offsets[part]
                at = state.position.offset if state is not None else 0
                self._break_at_gap(part, at, None if cut is None else cut.offset)
        elif isinstance(error, (errors.CorruptRecordError, errors.UnsupportedCodecError)):
            self._on_unreadable(error)
        elif isinstance(error, UnavailableError):  # whoever gives tickets or tokens
            raise error
        elif isinstance(error, errors.RetriableError):
            raise UnavailableError(f"read: {reason(error)}") from error
        else:
            raise SourceError(f"read: {reason(error)}") from error

    def _on_unreadable(self, error: Exception) -> None:
        """The library does not say where it failed; its buffer of that partition is of no use.

        It reads a batch from its beginning: what follows in the same batch stays out of reach.
        """
        buffer = self._consumer._fetcher._next_partition_records
        if buffer is None:
            raise SourceError(f"read: {reason(error)}") from error
        part, offset = tuple(buffer.topic_partition), buffer.next_fetch_offset
        buffer.drain()
        self._break(part, _unreadable(part, offset, error))

    def _break_at_gap(self, part: TopicPartition, offset: int, cut_at: int | None = None) -> None:
        where = (part.topic, part.partition)
        self._break(where, offset_gap(where, offset, self.watermarks, cut_at))

    def _break(self, part: Partition, error: SourceError) -> None:
        """Reads no more of a partition: every poll raises, until it is sought or released."""
        self._broken.setdefault(part, error)

    def seek(self, positions: Offsets) -> None:
        if strangers := [part for part in positions if part not in self._owned]:
            raise not_assigned(strangers)
        self._forget_fetched()
        self._go_to(positions)
        for part in positions:
            self._broken.pop(part, None)

    def _reading(self, part: Partition) -> Any:
        """The library's state of a partition, or None while that has no position.

        The public `position` may ask a broker.
        """
        state = self._consumer._subscription.assignment.get(TopicPartition(*part))
        return None if state is None or state.position is None else state

    def positions(self) -> dict[Partition, int]:
        states = {part: self._reading(part) for part in list(self._owned)}
        return {
            part: int(state.position.offset) for part, state in states.items() if state is not None
        }

    def lags(self) -> dict[Partition, int] | None:
        found = {}
        for part in list(self._owned):
            state = self._reading(part)
            if state is None or state.highwater is None:
                return None
            found[part] = max(0, state.highwater - state.position.offset)
        return found

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._listener = None
        self._owned = set()
        if self._group is not None:
            self._group.close()
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, lambda: self._consumer.close(False, 5_000))


def _settings(cluster: KafkaConfig, config: ConsumerConfig) -> dict[str, Any]:
    answer_bytes, share_bytes = fetch_limits(config.fetch_bytes)
    return {
        "request_timeout_ms": max(timeout_ms(config.request_timeout_s), 2 * FETCH_MAX_WAIT_MS),
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "heartbeat_interval_ms": HEARTBEAT_INTERVAL_MS,
        "isolation_level": "read_committed",
        **connection(cluster, "consumer", config.request_timeout_s),
        "fetch_max_bytes": answer_bytes,
        "max_partition_fetch_bytes": share_bytes,
        "group_id": config.group_id or None,
        "group_instance_id": config.instance_id,
        "max_poll_interval_ms": config.max_poll_interval_ms,
        "metadata_max_age_ms": config.metadata_interval_ms,
        "partition_assignment_strategy": [RoundRobinPartitionAssignor],
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "metrics_enabled": False,
    }


def _unreadable(part: Partition, offset: int, error: Exception) -> SourceError:
    """What a batch that the library cannot read means for its partition."""
    hint = ""
    if isinstance(error, errors.UnsupportedCodecError):
        hint = "; install the package of that compression, or use --kafka_client=librdkafka"
    broken = SourceError(f"read {part_names([part])}@{offset}: {reason(error)}{hint}")
    broken.__cause__ = error
    return broken


def _records(polled: Polled) -> list[KafkaRecord]:
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
