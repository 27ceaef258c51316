"""Kafka clients for tests: opened at will and closed at the end, topics, listeners, members."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
from kafka import KafkaAdminClient, KafkaProducer

from transforms.kafka.client import (
    Consumer,
    ConsumerConfig,
    KafkaConfig,
    Partition,
    Producer,
    ProducerConfig,
)
from transforms.kafka.clients import open_admin, open_consumer, open_producer
from transforms.records import KafkaRecord

DEADLINE_S = 20.0


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Waits until a condition holds, and returns its result; fails by name if it never does."""
    ends = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.01)
    return found


def murmur2(data: bytes) -> int:
    """The hash of Java's `Utils.murmur2`, as a signed 32-bit number.

    Source: org.apache.kafka.common.utils.Utils
    """
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    h ^= h >> 15
    return h - (1 << 32) if h & 0x80000000 else h


class Escaped(str):
    """A header's name that goes out as the bytes that `surrogateescape` made it from."""

    def encode(self, *_: Any) -> bytes:
        return str.encode(self, "utf-8", "surrogateescape")


@dataclass
class Clients:
    """Opens clients of one kind against one cluster."""

    cluster: KafkaConfig
    opened: list[Any] = field(default_factory=list)

    def consumer(self, group: str, **settings: Any) -> Consumer:
        settings.setdefault("metadata_interval_ms", 200)
        consumer = open_consumer(self.cluster, ConsumerConfig(group, **settings))
        self.opened.append(consumer)
        return consumer

    def producer(self, **settings: Any) -> Producer:
        settings.setdefault("max_message_bytes", 11_000_000)
        producer = open_producer(self.cluster, ProducerConfig(**settings))
        self.opened.append(producer)
        return producer

    def admin(self, timeout_s: float = 10.0) -> Any:
        admin = open_admin(self.cluster, timeout_s)
        self.opened.append(admin)
        return admin

    def topic(self, name: str, partitions: int = 1, **configs: str) -> str:
        """Makes a topic; `max_message_bytes="2000"` sets `max.message.bytes`."""
        admin = self.raw_admin()
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        spec = {"num_partitions": partitions, "replication_factor": 1, "configs": settings}
        admin.create_topics({name: spec}, wait_for_metadata=True)
        return name

    def raw_admin(self) -> KafkaAdminClient:
        admin = KafkaAdminClient(bootstrap_servers=self.cluster.bootstrap_servers)
        self.opened.append(admin)
        return admin

    def write(self, *records: KafkaRecord) -> None:
        """Writes records, and fails if any is not confirmed."""
        producer = self.producer()
        producer.produce(records)
        assert producer.flush(DEADLINE_S) == []

    def write_escaped(self, *records: KafkaRecord, compression: str | None = None) -> None:
        """Writes records in one batch per partition, header names with surrogates as the bytes that
        they stand for, which is beyond both clients' producers."""
        producer = KafkaProducer(
            bootstrap_servers=self.cluster.bootstrap_servers,
            compression_type=compression,
            linger_ms=60_000,
            batch_size=1_000_000,
        )
        sent = []
        for topic, partition, _, timestamp_ms, _, key, value, headers, _ in records:
            escaped = [(Escaped(name), data) for name, data in headers]
            sent.append(producer.send(topic, value, key, escaped, partition, timestamp_ms))
        producer.flush(DEADLINE_S)
        producer.close()
        assert all(future.succeeded() for future in sent)

    def fill(self, topic: str, count: int, partition: int = 0, value: bytes = b"v") -> None:
        """Writes so many records, whose keys are their numbers, to one partition; quickly, with
        one client for both kinds."""
        producer = confluent_kafka.Producer({"bootstrap.servers": self.cluster.bootstrap_servers})
        for number in range(count):
            producer.produce(topic, value, b"%d" % number, partition)
        assert producer.flush(DEADLINE_S) == 0

    def reader(self, group: str, **positions: int) -> Consumer:
        """A consumer of partition 0 of topics, without group protocol."""
        consumer = self.consumer(group)
        consumer.assign({(topic, 0): offset for topic, offset in positions.items()})
        return consumer

    def read(self, topic: str, count: int) -> list[KafkaRecord]:
        """Reads a topic from its beginning, until so many records are there."""
        consumer = self.consumer(f"read-{topic}")
        consumer.assign(dict.fromkeys(consumer.partitions([topic]), 0))
        return take(consumer, count)

    def close(self) -> None:
        for client in reversed(self.opened):
            client.close()


def take(consumer: Consumer, count: int, deadline_s: float = DEADLINE_S) -> list[KafkaRecord]:
    """Polls until so many records came, or more."""
    records: list[KafkaRecord] = []
    ends = time.monotonic() + deadline_s
    while len(records) < count:
        assert time.monotonic() < ends, f"{len(records)} of {count} records in {deadline_s:g} s"
        records += consumer.poll(0.2, 500)
    return records


class Listener:
    """Remembers what it was told, and begins where the group has committed, or at 0."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.events: list[tuple[str, list[Partition]]] = []
        self.threads: set[int] = set()
        self.owned: set[Partition] = set()
        self.commit_when_revoked: dict[Partition, int] = {}

    def _note(self, event: str, partitions: list[Partition]) -> None:
        self.events.append((event, sorted(partitions)))
        self.threads.add(threading.get_ident())

    def on_assigned(self, partitions: list[Partition]) -> dict[Partition, int]:
        self._note("assigned", partitions)
        committed = self.consumer.committed(partitions)
        self.owned = set(partitions)
        return {part: committed[part].offset if part in committed else 0 for part in partitions}

    def on_revoked(self, partitions: list[Partition]) -> None:
        self._note("revoked", partitions)
        self.owned = set()
        if self.commit_when_revoked:
            self.consumer.commit(self.commit_when_revoked)

    def on_lost(self, partitions: list[Partition]) -> None:
        self._note("lost", partitions)
        self.owned = set()


class Member:
    """A member of a group: a consumer that a thread polls until the end."""

    def __init__(self, consumer: Consumer, topics: list[str]) -> None:
        self.consumer = consumer
        self.listener = Listener(consumer)
        self.records: list[KafkaRecord] = []
        self.error: Exception | None = None
        self._stop = threading.Event()
        consumer.subscribe(topics, self.listener)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.records += self.consumer.poll(0.2, 500)
        except Exception as error:
            self.error = error

    @property
    def thread_id(self) -> int | None:
        return self._thread.ident

    @property
    def owned(self) -> set[Partition]:
        if self.error is not None:
            raise self.error
        return set(self.listener.owned)

    def stop(self) -> None:
        """Stops polling, without leaving the group."""
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
