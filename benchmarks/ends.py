"""Both ends of a stream, at Pub/Sub and at Kafka: where payloads go in, and where they come out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

from transforms.kafka.client import ConsumerConfig, KafkaConfig, ProducerConfig
from transforms.kafka.clients import open_admin, open_consumer, open_producer
from transforms.pubsub import client as pubsub
from transforms.records import KafkaRecord, PubsubRecord

CALL_S = 30.0
_PULL_S = 10.0  # a pull that is given up takes messages with it until their lease ends
_PULL_MESSAGES = 1_000


class Inlet(Protocol):
    """Where payloads go in."""

    def send(self, payloads: Sequence[bytes]) -> None:
        """Hands them over, in one request where there is one; the service may confirm later."""

    def close(self) -> None:
        """Waits for what is not confirmed yet; raises if something never is."""


class Outlet(Protocol):
    """Where payloads come out."""

    def receive(self) -> tuple[float, list[bytes]]:
        """When they came (`time.monotonic`), and what came; waits for a while if nothing does."""

    def close(self) -> None:
        """Closes the connection."""


class PubsubInlet:
    """Publishes to a topic; every call waits until its request is confirmed."""

    def __init__(self, topic: str) -> None:
        self._publisher = pubsub.Publisher(topic, CALL_S)

    def send(self, payloads: Sequence[bytes]) -> None:
        self._publisher.publish([pubsub.to_wire(PubsubRecord(data)) for data in payloads])

    def close(self) -> None:
        self._publisher.close()


class KafkaInlet:
    """Produces to the partitions of a topic in turn."""

    def __init__(self, config: KafkaConfig, topics: Sequence[str], linger_ms: float = 0) -> None:
        with closing(open_admin(config, CALL_S)) as admin:
            self._partitions = admin.partitions(topics)
        self._producer = open_producer(config, ProducerConfig(linger_ms=linger_ms))
        self._sent = 0

    def send(self, payloads: Sequence[bytes]) -> None:
        for value in payloads:
            topic, partition = self._partitions[self._sent % len(self._partitions)]
            self._producer.produce([KafkaRecord(topic, partition, value=value)])
            self._sent += 1

    def close(self) -> None:
        with closing(self._producer):
            if failures := self._producer.flush(CALL_S):
                raise failures[0].error


class PubsubOutlet:
    """Pulls from a subscription. Acks are sent while the next pull waits."""

    def __init__(self, subscription: str) -> None:
        self._subscriber = pubsub.Subscriber(subscription)
        self._acks = ThreadPoolExecutor(1, "acks")
        self._acked: Future[None] | None = None

    def receive(self) -> tuple[float, list[bytes]]:
        pulled = self._subscriber.pull(_PULL_MESSAGES, _PULL_S)
        now_s = time.monotonic()
        if self._acked is not None:
            self._acked.result()
        self._acked = self._acks.submit(self._subscriber.acknowledge, pulled.ack_ids, CALL_S)
        return now_s, [message.data for message in pulled.records]

    def close(self) -> None:
        self._acks.shutdown()
        self._subscriber.close()


class KafkaOutlet:
    """Reads all partitions of a topic from their beginning, in no group."""

    _POLL_S = 0.1
    _POLL_RECORDS = 1_000

    def __init__(self, config: KafkaConfig, topic: str) -> None:
        self._consumer = open_consumer(config, ConsumerConfig(group_id=""))
        partitions = self._consumer.partitions([topic])
        self._consumer.assign(dict.fromkeys(partitions, 0))

    def receive(self) -> tuple[float, list[bytes]]:
        records = self._consumer.poll(self._POLL_S, self._POLL_RECORDS)
        return time.monotonic(), [record.value or b"" for record in records]

    def close(self) -> None:
        self._consumer.close()
