"""The consumer on librdkafka."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, Message, TopicPartition

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
from transforms.kafka.client_rules import CLOSE_TIMEOUT_S
from transforms.kafka.librdkafka import settings
from transforms.kafka.librdkafka.asking import AskingConsumer
from transforms.kafka.librdkafka.common import (
    ENDINGS,
    OF_ONE_SERVER,
    REFUSED_LOGINS,
    Log,
    message_offset,
    message_partition,
    open_client,
    partitions_of,
    with_offsets,
)
from transforms.kafka.librdkafka.login import TokenCallback
from transforms.kafka.librdkafka.pattern import PatternWatch
from transforms.kafka.librdkafka.places import Places
from transforms.kafka.librdkafka.rereading import Rereader
from transforms.records import KafkaRecord, TimestampType

_SLICE_S = 0.05
"""Polls are never interrupted: a long one is cut into slices, so that other threads get in between.
"""

_LAG_INTERVAL_S = 0.5
"""How often a busy consumer works out its lag."""

_TIMESTAMP_TYPES = (TimestampType.NONE, TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME)
"""Indexed by librdkafka's rd_kafka_timestamp_type_t."""

_CUT_AT = re.compile(r"broker end offset is ([0-9]+)")
"""Where a truncated log ends now: librdkafka tells it in this sentence only."""


class LibrdkafkaConsumer(AskingConsumer):
    """A `Consumer`; see there for what each method promises."""

    def __init__(self, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        told = settings.of_consumer(cluster, config)
        self._token_callback: TokenCallback | None = told.get("oauth_cb")
        consumer = open_client(confluent_kafka.Consumer, {**told, "error_cb": self._on_error})
        super().__init__(consumer, cluster, config)
        self._rereader = Rereader(cluster, config)
        self._metadata_interval_s = config.metadata_interval_ms / 1000
        self._listener: RebalanceListener | None = None
        self._watch: PatternWatch | None = None
        self._places = Places()
        self._rebalances = 0
        self._said = Log()
        self._lags: dict[Partition, int] | None = None
        self._next_lag_s = 0.0
        self._error: Exception | None = None
        self._closed = False

    # -- ownership

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        self._listener = listener
        if topics[0].startswith("^"):
            if self._watch is None:
                self._watch = PatternWatch(self._metadata_interval_s, self._known_topics)
            self._watch.use(topics[0])
        else:
            self._subscribe(list(topics))

    def _subscribe(self, topics: list[str]) -> None:
        if topics:
            self._consumer.subscribe(
                topics,
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
        else:
            self._consumer.unsubscribe()

    def _on_assign(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        owned = partitions_of(parts)
        offsets = self._tell("on_assigned", owned)
        if offsets is not None and offsets.keys() == set(owned):
            self._begin(offsets)
            return
        error = self._error or no_beginning(owned)
        self._begin({})
        self._places.broken = dict.fromkeys(owned, (0, error))

    def _on_revoke(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        self._tell("on_revoked", partitions_of(parts))

    def _on_lost(self, _: confluent_kafka.Consumer, parts: list[TopicPartition]) -> None:
        self._tell("on_lost", partitions_of(parts))

    def _tell(self, event: str, parts: list[Partition]) -> Any:
        """Calls the listener; the poll raises its error, since librdkafka would lose records."""
        self._rebalances += 1
        answer = None
        if self._listener is not None:
            try:
                answer = getattr(self._listener, event)(parts)
            except Exception as error:
                self._error = self._error or error
        self._places.clear()
        return answer

    def assign(self, positions: Offsets) -> None:
        gone = [part for part in self._places if part not in positions]
        new = {part: at for part, at in positions.items() if part not in self._places}
        with self._asking(f"assign {part_names([*gone, *new])}"):
            if gone:
                self._consumer.incremental_unassign([TopicPartition(*part) for part in gone])
            if new:
                self._consumer.incremental_assign(with_offsets(new))
        self._places.change(gone, new)

    # -- reading

    def poll(self, timeout_s: float, max_records: int) -> list[KafkaRecord]:
        deadline = time.monotonic() + timeout_s
        self._raise_pending()
        if self._watch is not None and (topics := self._watch.changed()) is not None:
            self._subscribe(topics)
        while True:
            left = deadline - time.monotonic()
            with self._turns.poll():
                messages = self._take(max(0.0, min(left, _SLICE_S)), max_records)
            records = self._records(messages)
            with self._turns.poll():
                self._work_out_lags(idle=not records)
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
        if first.error() is None:
            self._places.in_hand = message_partition(first), message_offset(first)
        try:
            rest = self._consumer.consume(max_messages - 1, 0)
        finally:
            self._places.in_hand = None
        # A rebalance in between took away what `first` belongs to; the rest is newer.
        return [first, *rest] if rebalances == self._rebalances else rest

    def _records(self, messages: list[Message]) -> list[KafkaRecord]:
        """Turns messages into records, as far as each partition can be read."""
        records: list[KafkaRecord] = []
        append = records.append
        new = tuple.__new__
        unheard, broken = self._places.unheard, self._places.broken
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_event(message, error)
                continue
            if unheard:
                unheard.discard(message_partition(message))
            if broken and message_partition(message) in broken:
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
            except (SystemError, UnicodeDecodeError):
                # A header's name is not UTF-8: `headers()` returns a broken list with an error set
                # behind it, which Python notices at the latest in `new`.
                try:
                    append(self._rereader.read(message))
                except SourceError as failure:
                    self._break(message, failure)
            else:
                append(record)
        self._rereader.close()
        return records

    def _on_event(self, message: Message, error: KafkaError) -> None:
        """What comes among the records and is none."""
        code = error.code()
        if message.topic() is None:
            self._on_error(error)
        elif code == KafkaError._PARTITION_EOF:
            self._places.at_end(message_partition(message), message_offset(message))
        elif code == KafkaError._AUTO_OFFSET_RESET:
            where = message_partition(message)
            at = self.positions().get(where)
            if at is not None:
                cut = _CUT_AT.search(error.str())
                cut_at = int(cut[1]) if cut else None
                self._places.break_off(where, at, offset_gap(where, at, self.watermarks, cut_at))
        elif error.fatal() or code in ENDINGS:
            name = part_names([message_partition(message)])
            self._break(message, SourceError(f"read {name}@{message.offset()}: {error.str()}"))
        else:
            self._said.warn("consumer", error)

    def _on_error(self, error: KafkaError) -> None:
        """Client-wide errors; those of a partition come as messages."""
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED and not self._group_id:
            return
        callback = self._token_callback
        if (
            error.code() in REFUSED_LOGINS
            and callback is not None
            and (trouble := callback.trouble())
        ):
            self._error = self._error or UnavailableError(f"read: {trouble}")
        elif error.fatal() or error.code() in ENDINGS - OF_ONE_SERVER:
            self._error = self._error or SourceError(f"read: {error.str()}")
        else:
            self._said.warn("consumer", error)

    def _break(self, message: Message, error: SourceError) -> None:
        """Reads no more of a partition: every poll raises, until it is sought or released."""
        self._places.break_off(message_partition(message), message_offset(message), error)

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        for _, broken in self._places.broken.values():
            raise broken

    def seek(self, positions: Offsets) -> None:
        strangers = [part for part in positions if part not in self._places]
        if strangers:
            raise not_assigned(strangers)
        for part in positions:
            self._places.forget(part)
        # librdkafka's own seek() has no deadline, and refuses a partition that is stuck.
        self._begin({**self.positions(), **positions})

    def _begin(self, positions: Offsets) -> None:
        self._places.begin(positions)
        with self._turns.ask():
            self._consumer.assign(with_offsets(positions))

    def positions(self) -> dict[Partition, int]:
        asked = [TopicPartition(*part) for part in self._places]
        with self._turns.ask():
            answer = self._consumer.position(asked)
        return self._places.positions(
            {(part.topic, part.partition): part.offset for part in answer}
        )

    def _work_out_lags(self, idle: bool) -> None:
        now = time.monotonic()
        if now < self._next_lag_s and not (idle and self._lags and any(self._lags.values())):
            return
        self._next_lag_s = now + _LAG_INTERVAL_S
        found = {}
        for part, position in self.positions().items():
            marks = self._consumer.get_watermark_offsets(TopicPartition(*part), cached=True)
            if marks is None or marks[1] < 0:
                self._lags = None
                return
            found[part] = max(0, marks[1] - position)
        self._lags = found

    def lags(self) -> dict[Partition, int] | None:
        return self._lags

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._listener = None
        self._places.clear()
        if self._admin is not None:
            self._admin.close()
        with contextlib.suppress(TimeoutError):
            within(CLOSE_TIMEOUT_S, self._consumer.close)
