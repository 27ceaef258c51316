"""Writes whole Kafka records with one producer, to a topic whose rules are known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from transforms.errors import RefusedError, TransferError
from transforms.kafka.client import KafkaConfig, Producer, ProducerConfig, TopicInfo
from transforms.kafka.clients import open_producer
from transforms.records import KafkaRecord
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
        self._produce = self._producer.produce
        self._failure: TransferError | None = None
        self._handed_over = self._flushed = self._payload_bytes = 0

    def write(self, record: KafkaRecord) -> None:
        """Hands a record to the producer; blocks while its buffer is full.

        Raises:
          RefusedError: the topic would refuse it, and there is no place for dead letters.
        """
        if (record[3] or 0) > self._fits_until_ms or (self._needs_keys and record[5] is None):
            now_ms = self._clock() * 1000
            ahead_ms = self._rules.max_timestamp_ahead_ms
            self._fits_until_ms = float("inf") if ahead_ms is None else now_ms + ahead_ms
            if why := self._rules.refusal(record, now_ms):
                refused = RefusedError(
                    f"produce {record.name}: {why}", "correct the topic or the record"
                )
                self._give_up(record.origin or record, refused, "write")
                return
        self._produce(record)
        self._handed_over += 1
        self._payload_bytes += record.payload_bytes

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
            self._give_up(record.origin or record, error, "write")
        except TransferError as failure:
            self._failure = self._failure or failure

    @property
    def clean(self) -> bool:
        return self._failure is None and not self._producer.in_flight()

    @property
    def confirmed(self) -> int | None:
        in_flight = self._producer.in_flight()
        return self._handed_over - in_flight if in_flight else None

    def close(self) -> None:
        self._producer.close()
