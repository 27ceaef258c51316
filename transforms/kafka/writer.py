"""Writes whole Kafka records with one producer, to a topic whose rules are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transforms.errors import DeliveryError, RefusedError, TransferError
from transforms.kafka.client import KafkaConfig, Producer, ProducerConfig, TopicInfo
from transforms.kafka.clients import open_producer
from transforms.records import KafkaRecord, kafka_bytes
from transforms.registry import Bridge, BridgeConfig


@dataclass(frozen=True)
class KafkaSinkConfig:
    """Where records are written to; picklable. Each record names its own topic.

    Attributes:
      rules: what the topic refuses, so that a record which it would refuse is given up before it
        takes others of its batch with it, which would then be written out of their order. None
        where records name several topics: those of each are looked up at its first record.
      create: how a topic that is looked up and missing is created, as partitions and replication;
        None gives its records up.
    """

    bridge: BridgeConfig
    kafka: KafkaConfig
    producer: ProducerConfig
    rules: TopicInfo | None = None
    create: tuple[int, int] | None = None


class KafkaWriter:
    """A producer used by one bundle at a time, for topics of the same `config.rules`. Implements
    `registry.Writer`."""

    def __init__(
        self,
        config: KafkaSinkConfig,
        bridge: Bridge,
        open_producer: Callable[[KafkaConfig, ProducerConfig], Producer] = open_producer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        assert config.rules is not None
        self._counts = bridge.counts
        self._give_up = bridge.give_up
        self._rules = config.rules
        self._clock = clock
        self._needs_keys = config.rules.needs_keys
        self._fits_until_ms = float("-inf")
        self._producer = open_producer(config.kafka, config.producer)
        self._failure: TransferError | None = None
        self._handed_over = self._flushed = self._payload_bytes = 0

    def write(self, records: Sequence[KafkaRecord]) -> None:
        """Hands records to the producer; blocks while its buffer is full.

        Raises:
          RefusedError: the topic would refuse one, and there is no place for dead letters.
          DeliveryError: the buffer stays full, or the place for dead letters takes none.
        """
        try:
            records = self._admitted(records)
            self._producer.produce(records)
        except Exception as error:
            if not isinstance(error, TransferError):
                error = DeliveryError(f"produce: {type(error).__name__}")
            self._failure = self._failure or error
            raise
        self._handed_over += len(records)
        self._payload_bytes += kafka_bytes(records)

    def _admitted(self, records: Sequence[KafkaRecord]) -> Sequence[KafkaRecord]:
        """Those of them that the topic would not refuse; gives up the others."""
        until_ms, needs_keys = self._fits_until_ms, self._needs_keys
        if all(
            (record[3] or 0) <= until_ms and not (needs_keys and record[5] is None)
            for record in records
        ):
            return records
        now_ms = self._clock() * 1000
        ahead_ms = self._rules.max_timestamp_ahead_ms
        self._fits_until_ms = float("inf") if ahead_ms is None else now_ms + ahead_ms
        found = []
        for record in records:
            why = self._rules.refusal(record, now_ms)
            if not why:
                found.append(record)
                continue
            refused = RefusedError(
                f"produce {record.name}: {why}", "correct the topic or the record"
            )
            self._give_up(record.made_from or record, refused, "write")
        return found

    def flush(self, timeout_s: float) -> None:
        if self._failure is None:
            failures = self._producer.flush(timeout_s)
            self._counts.add("delivered", self._handed_over - self._flushed - len(failures))
            failed_bytes = sum(failure.record.payload_bytes for failure in failures)
            self._counts.add("bytes", self._payload_bytes - failed_bytes)
            self._flushed, self._payload_bytes = self._handed_over, 0
            for record, error in failures:
                self._settle(record, error)
        if self._failure is not None:
            raise self._failure

    def _settle(self, record: KafkaRecord, error: TransferError) -> None:
        try:
            if not isinstance(error, RefusedError):
                raise error
            self._give_up(record.made_from or record, error, "write")
        except TransferError as failure:
            self._failure = self._failure or failure

    @property
    def clean(self) -> bool:
        return self._failure is None and not self._producer.in_flight()

    @property
    def confirmed(self) -> int | None:
        return self._producer.confirmed

    def close(self) -> None:
        self._producer.close()
