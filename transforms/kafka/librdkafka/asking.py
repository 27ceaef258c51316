"""What a consumer asks the brokers, from any thread, also while a poll is under way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from transforms.deadlines import retried
from transforms.errors import (
    CommitError,
    PreflightError,
    SourceError,
    TransferError,
    UnavailableError,
)
from transforms.kafka.client import (
    Admin,
    Committed,
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    Partition,
)
from transforms.kafka.client_errors import asked_in_vain, part_names
from transforms.kafka.client_rules import select_topics
from transforms.kafka.clients import open_admin
from transforms.kafka.librdkafka.common import ENDINGS, reason, with_offsets
from transforms.kafka.librdkafka.pattern import INTERNAL_TOPICS
from transforms.limits import KAFKA_MAX_PARTITION


class Turns:
    """Who may call the consumer, which takes one thread at a time: other threads before the polling
    one, which would starve them."""

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


class AskingConsumer:
    """The part of a `Consumer` that asks; see there for what each method promises."""

    def __init__(self, consumer: Any, cluster: KafkaConfig, config: ConsumerConfig) -> None:
        self._consumer = consumer
        self._cluster = cluster
        self._group_id = config.group_id
        self._timeout_s = config.request_timeout_s
        self._admin: Admin | None = None
        self._turns = Turns()

    @contextlib.contextmanager
    def _asking(self, what: str, failure: type[TransferError] = SourceError) -> Iterator[None]:
        try:
            with self._turns.ask():
                yield
        except KafkaException as error:
            if failure is SourceError and error.args[0].code() not in ENDINGS:
                failure = UnavailableError
            raise failure(f"{what}: {reason(error)}") from error

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """Asks with the other client: confluent-kafka reads the text that was committed with an
        offset beyond its end, into whatever follows in memory."""
        asked = set(partitions)
        if not asked:
            return {}
        try:
            if self._admin is None:
                self._admin = open_admin(self._cluster, self._timeout_s)
            admin = self._admin
            found = retried(lambda: admin.committed(self._group_id), self._timeout_s)
        except PreflightError as error:
            raise asked_in_vain(error) from error
        return {part: commit for part, commit in found.items() if part in asked}

    def commit(self, offsets: Offsets, metadata: Mapping[Partition, str] = {}) -> None:
        if not offsets:
            return
        asked = with_offsets(offsets, metadata)
        with self._asking(f"commit {part_names(offsets)}", CommitError):
            # Without a coordinator a commit takes 45 s to fail; this asks for it first, with a
            # deadline, for what has no text that could be read wrongly.
            nothing = [TopicPartition(asked[0].topic, KAFKA_MAX_PARTITION)]
            self._consumer.committed(nothing, timeout=self._timeout_s)
            answer = self._consumer.commit(offsets=asked, asynchronous=False)
        _check_commit(answer)

    def watermarks(
        self, partitions: Iterable[Partition], timeout_s: float | None = None
    ) -> dict[Partition, tuple[int, int]]:
        found = {}
        for part in partitions:
            with self._asking(f"read offsets of {part_names([part])}"):
                found[part] = self._consumer.get_watermark_offsets(
                    TopicPartition(*part), timeout=timeout_s or self._timeout_s
                )
        return found

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        known = self._known_topics(self._timeout_s)
        names = select_topics(topics, known, INTERNAL_TOPICS)
        return [(name, number) for name in names for number in sorted(known[name].partitions)]

    def _known_topics(self, timeout_s: float) -> Mapping[str, Any]:
        with self._asking("list topics"):
            topics: Mapping[str, Any] = self._consumer.list_topics(timeout=timeout_s).topics
        return topics


def _check_commit(answer: Iterable[TopicPartition]) -> None:
    """Raises the first error that an answer holds for one of its partitions."""
    for part in answer:
        if part.error is not None:
            raise CommitError(f"commit {part.topic}/{part.partition}: {part.error.str()}")
