"""The producer on librdkafka."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from types import MethodType
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message

from transforms.deadlines import within
from transforms.errors import DeliveryError, RefusedError, TransferError
from transforms.kafka.client import Failure, KafkaConfig, ProducerConfig
from transforms.kafka.client_errors import (
    buffer_full,
    record_too_large,
    unconfirmed,
    unwritable_name,
    zero_byte_in_name,
)
from transforms.kafka.client_rules import CLOSE_TIMEOUT_S
from transforms.kafka.flushing import FlushingProducer
from transforms.kafka.librdkafka import settings
from transforms.kafka.librdkafka.common import open_client
from transforms.records import KafkaRecord

_TOO_LARGE = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
}

_OF_A_BATCH = {*_TOO_LARGE, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD}
"""What a broker says of a whole batch, whichever record of it is meant."""

_REFUSALS = {
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._INVALID_ARG,
}
"""What else trying again cannot help."""


_MOST_NAMES = 4096
"""So many headers' names are remembered."""

_POLL_EVERY = 100
"""Records between two looks at what was confirmed; each look frees their memory."""


class LibrdkafkaProducer(FlushingProducer):
    """A `Producer`; see there for what each method promises."""

    def __init__(self, cluster: KafkaConfig, config: ProducerConfig) -> None:
        super().__init__()
        self._config = config
        self._producer = open_client(
            confluent_kafka.Producer,
            {**settings.of_producer(cluster, config), "error_cb": self._on_error},
        )
        self._produce = self._producer.produce
        self._poll = self._producer.poll
        self._writable_names: set[str] = set()
        self._cause = ""
        self._closed = False

    def produce(self, records: Sequence[KafkaRecord]) -> None:
        produce, on_failed, writable = self._produce, self._on_failed, self._writable_names
        for number, record in enumerate(records, 1):
            topic, partition, _, timestamp_ms, _, key, value, headers, _ = record
            is_odd = timestamp_ms == 0
            for name, _ in headers:
                if name not in writable:
                    is_odd = True
            if is_odd and (error := self._refusal(record)):
                self._failures.append(Failure(record, error))
                continue
            arguments = (
                topic,
                value,
                key,
                -1 if partition is None else partition,
                MethodType(on_failed, record),
                None,
                timestamp_ms or 0,
                list(headers) if headers else None,
            )
            try:
                try:
                    produce(*arguments)
                except BufferError:
                    self._produce_as_there_is_room(record, arguments)
                self._handed_over += 1
            except KafkaException as error:
                on_failed(record, error.args[0], None)
            if not number % _POLL_EVERY:
                self._poll(0)
        self._poll(0)

    def _refusal(self, record: KafkaRecord) -> RefusedError | None:
        """Why librdkafka would not write a record as it is, and would not say so; it crashes at a
        name that is not UTF-8. Remembers the names that it would write."""
        if record.timestamp_ms == 0:
            return _unwritable_timestamp(record)
        for name, _ in record.headers:
            try:
                encoded = name.encode()
            except UnicodeEncodeError:
                return unwritable_name(record)
            if b"\0" in encoded:
                return zero_byte_in_name(record)
            if len(self._writable_names) >= _MOST_NAMES:
                self._writable_names.clear()
            self._writable_names.add(name)
        return None

    def _produce_as_there_is_room(self, record: KafkaRecord, arguments: tuple[Any, ...]) -> None:
        deadline = time.monotonic() + self._config.delivery_timeout_s
        while (left := deadline - time.monotonic()) > 0:
            self._poll(min(left, 0.1))
            with contextlib.suppress(BufferError):
                self._produce(*arguments)
                return
        raise buffer_full(record, self._config.delivery_timeout_s, self._cause)

    def in_flight(self) -> int:
        self._poll(0)
        return len(self._producer) + len(self._again) + len(self._suspects)

    def _await_all(self, deadline: float, timeout_s: float) -> None:
        try:
            remaining = self._producer.flush(max(0.0, deadline - time.monotonic()))
        except SystemError as error:  # a fatal one, which `flush` sets and does not raise
            raise DeliveryError(f"flush: librdkafka has given up{self._cause}") from error
        if remaining:
            raise unconfirmed(remaining, timeout_s, self._cause)

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
        elif error.code() in _OF_A_BATCH and not self._alone:
            self._suspects.append(record)
        else:
            self._failures.append(Failure(record, self._failure(record, error)))

    def _failure(self, record: KafkaRecord, error: KafkaError) -> TransferError:
        code = error.code()
        if code in _TOO_LARGE:
            return record_too_large(record, self._config.max_message_bytes)
        if code == KafkaError._MSG_TIMED_OUT:
            return DeliveryError(
                f"produce {record.name}: not confirmed within "
                f"{self._config.delivery_timeout_s:g} s{self._cause}"
            )
        kind = RefusedError if code in _REFUSALS else DeliveryError
        return kind(f"produce {record.name}: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        """Client-wide errors: the cause of what fails later."""
        self._cause = f": {error.str()}"


def _unwritable_timestamp(record: KafkaRecord) -> RefusedError:
    return RefusedError(
        f"produce {record.name}: librdkafka writes the present for timestamp 0",
        "use --kafka_client=kafka-python",
    )
