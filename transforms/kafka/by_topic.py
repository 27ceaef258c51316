"""Writes each Kafka record to the topic that it names, by that topic's rules."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from transforms.errors import RefusedError
from transforms.kafka.client import KafkaConfig, Producer, ProducerConfig, TopicInfo
from transforms.kafka.clients import open_producer
from transforms.kafka.topic_rules import TopicRules
from transforms.kafka.writer import KafkaSinkConfig, KafkaWriter
from transforms.records import KafkaRecord
from transforms.registry import Bridge

_MOST_WRITERS = 16
"""Producers that are kept, each of which has connections and threads."""


class WriterByTopic:
    """A `KafkaWriter` for each set of rules that topics have, as a rule one for all. Implements
    `registry.Writer`.

    A topic's limits are those of the batches that are made for it: so topics of different limits
    have different producers.
    """

    def __init__(
        self,
        config: KafkaSinkConfig,
        bridge: Bridge,
        rules: TopicRules | None = None,
        open_producer: Callable[[KafkaConfig, ProducerConfig], Producer] = open_producer,
    ) -> None:
        self._config = config
        self._bridge = bridge
        self._rules = rules or TopicRules(
            config.kafka, config.create, config.bridge.delivery_timeout_s, bridge.health
        )
        self._open_producer = open_producer
        self._writers: dict[TopicInfo, KafkaWriter] = {}
        self._writer_of: dict[str, KafkaWriter] = {}

    def write(self, records: Sequence[KafkaRecord]) -> None:
        """Hands records to the producers of their topics; blocks while a buffer is full.

        Raises:
          RefusedError: a topic is not there or would refuse its record, and there is no place for
            dead letters.
          DeliveryError: the cluster does not answer.
        """
        for writer, found in itertools.groupby(records, self._writer_for):
            if writer is not None:
                writer.write(list(found))

    def _writer_for(self, record: KafkaRecord) -> KafkaWriter | None:
        """That of the record's topic; where there is none, the record is given up."""
        writer = self._writer_of.get(record.topic)
        if writer is None:
            try:
                rules = self._rules.of(record.topic)
            except RefusedError as error:
                refused = RefusedError(f"produce {record.name}: {error.what}", error.remedy)
                self._bridge.give_up(record.made_from or record, refused, "write")
                return None
            writer = self._writer_of[record.topic] = self._writer_by(rules)
        return writer

    def _writer_by(self, rules: TopicInfo) -> KafkaWriter:
        shared = rules._replace(name="", partitions=0, described=True, operations=None)
        found = self._writers.get(shared)
        if found is None:
            limit_bytes = rules.max_message_bytes
            producer = replace(self._config.producer, max_message_bytes=limit_bytes)
            config = replace(self._config, rules=shared, producer=producer)
            found = KafkaWriter(config, self._bridge, self._open_producer)
            self._writers[shared] = found
        return found

    def flush(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for writer in self._writers.values():
            writer.flush(max(0.0, deadline - time.monotonic()))
        if len(self._writers) > _MOST_WRITERS:
            self._close_writers()

    @property
    def clean(self) -> bool:
        return all(writer.clean for writer in self._writers.values())

    @property
    def confirmed(self) -> int | None:
        confirmed = [writer.confirmed for writer in list(self._writers.values())]
        in_flight = [count for count in confirmed if count is not None]
        return sum(in_flight) if in_flight else None

    def close(self) -> None:
        self._close_writers()
        self._rules.close()

    def _close_writers(self) -> None:
        writers, self._writers = self._writers, {}
        self._writer_of.clear()
        for writer in writers.values():
            writer.close()
