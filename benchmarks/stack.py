"""The servers of a run, fresh: topics, what is in them, and how far a system is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import confluent_kafka.admin
import grpc
from google.pubsub_v1 import types

from pipelines.environment import environment
from pipelines.local.stack import EmbeddedStack
from transforms.errors import PreflightError
from transforms.pubsub import client as pubsub

PROJECT = "projects/bench"
PARTITIONS = 4
TIMEOUT_S = 20.0

_MAX_MESSAGE_BYTES = 11_000_000
_PAYLOADS = 16
_REQUEST_BYTES = 9_000_000
_EMULATOR_HEAP = "3g"
_PUBLISH = "/google.pubsub.v1.Publisher/Publish"

_ADMIN: Any = confluent_kafka.admin  # its types do not know all of it


def headers(count: int) -> dict[str, str]:
    """Plain ones, as the instant server gives them, too."""
    return {f"header-{n}": f"value of header {n}" for n in range(count)}


class Kafka:
    """A broker: topics are made, filled, measured, deleted."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._admin = _ADMIN.AdminClient(self._client())

    def _client(self, **settings: Any) -> dict[str, Any]:
        """Settings of a client that says nothing of a broker that is being stopped."""
        names = {name.replace("_", "."): value for name, value in settings.items()}
        return {"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **names}

    def create(self, topic: str, partitions: int = PARTITIONS) -> None:
        """Makes a topic for the largest messages; returns when the broker knows all of it."""
        config = {"max.message.bytes": str(_MAX_MESSAGE_BYTES)}
        self._done(
            self._admin.create_topics([_ADMIN.NewTopic(topic, partitions, 1, config=config)])
        )
        ends_s = time.monotonic() + TIMEOUT_S
        while len(self._partitions(topic)) < partitions:
            if time.monotonic() > ends_s:
                raise PreflightError(f"create {topic}: not there after {TIMEOUT_S:g} s")
            time.sleep(0.05)

    def delete(self, topic: str) -> None:
        self._done(self._admin.delete_topics([topic]))

    @staticmethod
    def _done(futures: dict[str, Any]) -> None:
        for future in futures.values():
            future.result(TIMEOUT_S)

    def fill(self, topic: str, count: int, size_bytes: int, header_count: int = 0) -> None:
        """Writes messages of random bytes, evenly over all partitions, and waits for them."""
        producer = confluent_kafka.Producer(
            self._client(
                message_max_bytes=_MAX_MESSAGE_BYTES,
                queue_buffering_max_kbytes=200_000,
                linger_ms=20,
                enable_idempotence=True,
            )
        )
        partitions = len(self._partitions(topic))
        payloads = [os.urandom(size_bytes) for _ in range(_PAYLOADS)]
        its_headers: dict[str, str | bytes | None] = {**headers(header_count)}
        for n in range(count):
            while True:
                try:
                    payload, partition = payloads[n % _PAYLOADS], n % partitions
                    producer.produce(topic, payload, partition=partition, headers=its_headers)
                    break
                except BufferError:
                    producer.poll(0.1)
            if n % 1000 == 0:
                producer.poll(0)
        if producer.flush(TIMEOUT_S * 3):
            raise PreflightError(f"fill {topic}: not confirmed")

    def _partitions(self, topic: str) -> list[confluent_kafka.TopicPartition]:
        found = self._admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions
        return [confluent_kafka.TopicPartition(topic, n) for n in sorted(found)]

    def ends(self, topic: str) -> Callable[[], int]:
        """What counts the messages of a topic."""
        asked = dict.fromkeys(self._partitions(topic), _ADMIN.OffsetSpec.latest())

        def count() -> int:
            answers = self._admin.list_offsets(asked, request_timeout=TIMEOUT_S)
            return sum(answer.result(TIMEOUT_S).offset for answer in answers.values())

        return count

    @contextlib.contextmanager
    def commits(self, topic: str, group_id: str) -> Iterator[Callable[[], int]]:
        """What counts the messages of a topic that a group has committed."""
        asked = self._partitions(topic)
        consumer = confluent_kafka.Consumer(self._client(group_id=group_id))

        def count() -> int:
            try:
                answers = consumer.committed(asked, TIMEOUT_S)
            except confluent_kafka.KafkaException:  # a new group has no coordinator for a moment
                return 0
            return sum(max(0, answer.offset) for answer in answers)

        try:
            yield count
        finally:
            consumer.close()


class Emulator:
    """A Pub/Sub emulator while the `with` lasts, with a heap for all messages of a run."""

    def __init__(self) -> None:
        self._stack = EmbeddedStack(kafka=False, emulator_heap=_EMULATOR_HEAP, say=_nobody)

    def __enter__(self) -> Emulator:
        self._stack.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.stop()

    @property
    def address(self) -> str:
        return self._stack.pubsub_emulator_host

    def create(self, topic: str, subscription: str = "") -> None:
        """Makes a topic, and one subscription if it is named."""
        with pointed_at(self.address), contextlib.closing(pubsub.open_admin(TIMEOUT_S)) as admin:
            admin.create_topic(topic)
            if subscription:
                admin.create_subscription(subscription, topic, ack_deadline_s=60)

    def fill(self, topic: str, count: int, size_bytes: int, header_count: int = 0) -> None:
        """Publishes messages of random bytes; the requests are made once, and sent as bytes."""
        in_one = min(count, 1_000, max(1, _REQUEST_BYTES // size_bytes))
        whole, rest = divmod(count, in_one)
        with grpc.insecure_channel(self.address) as channel:
            publish = channel.unary_unary(_PUBLISH)
            for size, times in ((in_one, whole), (rest, 1 if rest else 0)):
                request = _publish_request(topic, size, size_bytes, header_count)
                for _ in range(times):
                    publish(request, timeout=TIMEOUT_S)


def _publish_request(topic: str, count: int, size_bytes: int, header_count: int) -> bytes:
    attributes = headers(header_count)
    request = types.PublishRequest.pb(types.PublishRequest(topic=topic))
    for _ in range(count):
        request.messages.add(data=os.urandom(size_bytes), attributes=attributes)
    found: bytes = request.SerializeToString()
    return found


def pointed_at(address: str) -> AbstractContextManager[None]:
    """Within, Pub/Sub clients of this process go there."""
    return environment({"PUBSUB_EMULATOR_HOST": address})


def _nobody(_: str) -> None:
    """Says nothing of each server that is started."""
