"""What a consumer asks the brokers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kafka import KafkaConsumer, TopicPartition, errors

from transforms.deadlines import within
from transforms.errors import CommitError
from transforms.kafka.client import Committed, Offsets, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.client_rules import select_topics
from transforms.kafka.kafka_python.common import (
    asking_failed,
    committed_text,
    new_offsets,
    reason,
    timeout_ms,
)


class AskingConsumer:
    """The part of a `Consumer` that asks; see there for what each method promises."""

    def __init__(self, consumer: KafkaConsumer, timeout_s: float) -> None:
        self._consumer = consumer
        self._timeout_ms = timeout_ms(timeout_s)

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        try:
            # The public `committed` asks for one partition at a time.
            answer = self._consumer._coordinator.fetch_committed_offsets(
                asked, timeout_ms=self._timeout_ms
            )
        except errors.KafkaError as error:
            raise asking_failed("read committed offsets", error) from error
        return {
            (part.topic, part.partition): Committed(found.offset, committed_text(found.metadata))
            for part, found in answer.items()
        }

    def commit(self, offsets: Offsets, metadata: Mapping[Partition, str] = {}) -> None:
        if not offsets:
            return
        try:
            self._consumer.commit(new_offsets(offsets, metadata), timeout_ms=self._timeout_ms)
        except errors.KafkaError as error:
            raise CommitError(f"commit {part_names(offsets)}: {reason(error)}") from error

    def watermarks(
        self, partitions: Iterable[Partition], timeout_s: float | None = None
    ) -> dict[Partition, tuple[int, int]]:
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        limit_ms = self._timeout_ms if timeout_s is None else timeout_ms(timeout_s)
        try:
            first = self._consumer.beginning_offsets(asked, timeout_ms=limit_ms)
            end = self._consumer.end_offsets(asked, timeout_ms=limit_ms)
        except errors.KafkaError as error:
            raise asking_failed(f"read offsets of {part_names(asked)}", error) from error
        return {(part.topic, part.partition): (first[part], end[part]) for part in asked}

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        try:
            known = within(self._timeout_ms / 1000, self._consumer.topics)
        except (errors.KafkaError, TimeoutError) as error:
            raise asking_failed("list topics", error) from error
        cluster = self._consumer._cluster
        return [
            (name, number)
            for name in select_topics(topics, known)
            for number in sorted(cluster.partitions_for_topic(name) or ())
        ]
