"""What a consumer asks the brokers, from any thread, also while a poll is under way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from transforms.errors import CommitError, SourceError, TransferError, UnavailableError
from transforms.kafka.client import Committed, Offsets, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.client_rules import select_topics
from transforms.kafka.librdkafka.common import ENDINGS, reason, with_offsets
from transforms.kafka.librdkafka.pattern import INTERNAL_TOPICS


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

    def __init__(self, consumer: Any, timeout_s: float) -> None:
        self._consumer = consumer
        self._timeout_s = timeout_s
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
        asked = [TopicPartition(*part) for part in partitions]
        if not asked:
            return {}
        with self._asking("read committed offsets"):
            answer = self._consumer.committed(asked, timeout=self._timeout_s)
        _check(answer, "read committed offset", SourceError)
        return {
            (part.topic, part.partition): Committed(part.offset, part.metadata or "")
            for part in answer
            if part.offset >= 0
        }

    def commit(self, offsets: Offsets, metadata: Mapping[Partition, str] = {}) -> None:
        if not offsets:
            return
        asked = with_offsets(offsets, metadata)
        with self._asking(f"commit {part_names(offsets)}", CommitError):
            # Without a coordinator a commit takes 45 s to fail; this asks for it first, with a
            # deadline.
            self._consumer.committed(asked[:1], timeout=self._timeout_s)
            answer = self._consumer.commit(offsets=asked, asynchronous=False)
        _check(answer, "commit", CommitError)

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


def _check(answer: Iterable[TopicPartition], what: str, failure: type[TransferError]) -> None:
    """Raises the first error that an answer holds for one of its partitions."""
    for part in answer:
        if part.error is not None:
            if failure is SourceError and part.error.code() not in ENDINGS:
                failure = UnavailableError
            raise failure(f"{what} {part.topic}/{part.partition}: {part.error.str()}")
