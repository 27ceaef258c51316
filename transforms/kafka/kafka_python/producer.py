"""The producer on kafka-python."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from kafka import KafkaProducer, TopicPartition, errors
from kafka.partitioner import StickyPartitioner

from transforms.deadlines import within
from transforms.errors import DeliveryError, RefusedError, TransferError
from transforms.kafka.client import Failure, KafkaConfig, ProducerConfig
from transforms.kafka.client_errors import (
    buffer_full,
    record_too_large,
    unconfirmed,
    unwritable_name,
)
from transforms.kafka.client_rules import CLOSE_TIMEOUT_S
from transforms.kafka.flushing import FlushingProducer
from transforms.kafka.kafka_python.common import (
    connect,
    connection,
    create_no_topics,
    reason,
    timeout_ms,
)
from transforms.kafka.kafka_python.idempotence import make_idempotent
from transforms.records import KafkaRecord

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)

_REFUSALS = (
    errors.CorruptRecordError,
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    ValueError,
    TypeError,
)
"""What trying again cannot help; the last two are the library's own checks."""

_CONNECT_TIMEOUT_S = 10.0
_BATCH_BYTES = 262_144
_FRAMING_BYTES = 1_024
"""More than one record's framing takes: the broker is the judge of what is too large."""


_place = lru_cache(maxsize=4096)(TopicPartition)
"""Of a topic and a partition, made once."""


class _Sticky(StickyPartitioner):
    """Looks at a topic's partitions where a batch begins, and not at each record of it, which takes
    2 us: one that loses its leader meanwhile has the rest of its batch wait, as what is in it."""

    def partition(
        self, topic: str, key: Any, key_bytes: Any, value: Any, value_bytes: Any, cluster: Any
    ) -> Any:
        kept = self._sticky.get(topic) if key_bytes is None else None
        if kept is not None:
            return kept
        return super().partition(topic, key, key_bytes, value, value_bytes, cluster)


class KafkaPythonProducer(FlushingProducer):
    """A `Producer`; see there for what each method promises.

    Writes idempotently, one request per broker at a time; see `idempotence.py` for what of that is
    the library's.
    """

    def __init__(self, cluster: KafkaConfig, config: ProducerConfig) -> None:
        super().__init__()
        self._config = config
        self._partitioner = _Sticky()
        settings = {**_settings(cluster, config), "partitioner": self._partitioner}
        self._producer = connect(KafkaProducer, settings, DeliveryError)
        create_no_topics(self._producer._metadata)
        make_idempotent(self._producer)
        self._send = self._producer.send
        self._accumulator = self._producer._accumulator
        self._pending: collections.deque[tuple[Any, KafkaRecord, int]] = collections.deque()
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._closed = False

    def produce(self, records: Sequence[KafkaRecord]) -> None:
        for record in records:
            topic, partition, _, timestamp_ms, _, key, value, headers, _ = record
            try:
                future = self._joined(record) or self._send(
                    topic, value, key, list(headers), partition, timestamp_ms
                )
            except (errors.KafkaError, ValueError, TypeError, AssertionError) as error:
                self._failures.append(Failure(record, self._failure(record, error)))
                continue
            size = record.payload_bytes
            self._pending.append((future, record, size))
            self._pending_bytes += size
            self._handed_over += 1
            if self._pending_bytes > self._config.buffer_bytes or len(self._pending) % 1000 == 0:
                self._wait_for_room(record)

    def _joined(self, record: KafkaRecord) -> Any:
        """Adds a record to the batch that is open for its partition, and returns its future.

        None where there is no such batch with room, and where the record may be none that can be
        written: `send` decides then. What it looks at takes a third of a message's CPU.
        """
        topic, partition, _, timestamp_ms, _, key, value, headers, _ = record
        cluster = self._producer._metadata
        partitions = cluster.partitions_for_topic(topic)
        if not partitions or (key is None and value is None):
            return None
        for _, of_name in headers:
            if of_name is None:  # the batch finds that out when it has taken the record
                return None
        if partition is None:
            partition = self._partitioner.partition(topic, key, key, value, value, cluster)
        if partition not in partitions:
            return None
        future, is_full, _, _ = self._accumulator.append(
            _place(topic, partition), timestamp_ms, key, value, headers, abort_on_new_batch=True
        )
        if is_full:
            self._producer._sender.wakeup()
        return future

    def _wait_for_room(self, record: KafkaRecord) -> None:
        deadline = time.monotonic() + self._config.delivery_timeout_s
        self._collect()
        while self._pending_bytes > self._config.buffer_bytes and self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise buffer_full(record, self._config.delivery_timeout_s)
            with contextlib.suppress(errors.KafkaError, IndexError):
                self._pending[0][0].get(min(left, 1.0))
            self._collect()

    def _collect(self) -> None:
        """Takes what is done from the front of the queue; what waits behind is found later."""
        with self._lock:
            pending = self._pending
            while pending and pending[0][0].is_done:
                future, record, size = pending.popleft()
                self._pending_bytes -= size
                error = future.exception
                if error is None:
                    continue
                if type(error) is errors.KafkaError:  # written with another one that was refused
                    self._again.append(record)
                else:
                    self._failures.append(Failure(record, self._failure(record, error)))

    def in_flight(self) -> int:
        self._collect()
        waiting = sum(not future.is_done for future, _, _ in list(self._pending))
        return waiting + len(self._again)

    def _await_all(self, deadline: float, timeout_s: float) -> None:
        # UnknownError: a batch that was split because it was too large is never done itself.
        with contextlib.suppress(errors.KafkaTimeoutError, errors.UnknownError):
            self._producer.flush(max(0.0, deadline - time.monotonic()))
        self._collect()
        while self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise unconfirmed(self.in_flight(), timeout_s)
            with contextlib.suppress(errors.KafkaError, IndexError):
                self._pending[0][0].get(left)
            self._collect()
        with self._lock:
            pass  # another thread may be about to note the failure of what it has collected

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError, errors.KafkaError):
            within(CLOSE_TIMEOUT_S, self._abandon)
        self._pending.clear()
        self._failures = []

    def _abandon(self) -> None:
        # `close(0)` flushes first, and gives up closing when that takes any time.
        self._producer._sender.force_close()
        self._producer._sender.join(CLOSE_TIMEOUT_S)
        self._producer.close(0)

    def _failure(self, record: KafkaRecord, error: Exception) -> TransferError:
        if isinstance(error, _TOO_LARGE):
            return record_too_large(record, self._config.max_message_bytes)
        if isinstance(error, UnicodeEncodeError):
            return unwritable_name(record)
        null = next((name for name, value in record.headers if value is None), None)
        if isinstance(error, TypeError) and null is not None:
            return RefusedError(
                f"produce {record.name}: header '{null}' is null, which kafka-python cannot write",
                "use --kafka_client=librdkafka",
            )
        if isinstance(error, _REFUSALS):
            return RefusedError(f"produce {record.name}: {reason(error)}")
        return DeliveryError(f"produce {record.name}: {reason(error)}")


def _settings(cluster: KafkaConfig, config: ProducerConfig) -> dict[str, Any]:
    delivery_ms = timeout_ms(config.delivery_timeout_s)
    linger_ms = min(int(config.linger_ms), delivery_ms - 1)
    settings = {
        "batch_size": _BATCH_BYTES,
        "request_timeout_ms": 30_000,
        **connection(cluster, "producer", min(_CONNECT_TIMEOUT_S, config.delivery_timeout_s)),
        "acks": "all",
        "enable_idempotence": False,  # see make_idempotent
        "max_in_flight_requests_per_connection": 1,
        "compression_type": None if config.compression == "none" else config.compression,
        "linger_ms": linger_ms,
        "delivery_timeout_ms": delivery_ms,
        "max_block_ms": min(delivery_ms, 30_000),
        "max_request_size": config.max_message_bytes + _FRAMING_BYTES,
        "metadata_max_age_ms": config.metadata_interval_ms,
        "metrics_enabled": False,
    }
    settings["batch_size"] = min(settings["batch_size"], config.max_message_bytes)
    settings["request_timeout_ms"] = min(settings["request_timeout_ms"], delivery_ms - linger_ms)
    return settings
