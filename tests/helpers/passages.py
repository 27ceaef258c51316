"""Both directions as the conformance suite sees them: numbered payloads in, what came out, and what
the source still has. A payload begins with its number."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from typing import NamedTuple

from ends import Kafka, PubSub, until
from proxied import Servers
from proxy import Proxy

from transforms.deadlines import retried
from transforms.records import KafkaRecord, PubsubRecord

PARTITIONS = 4
KEYS = 7
PACE_S = 0.02


class Arrived(NamedTuple):
    number: int
    data: bytes
    key: str
    header: str


def payload(number: int) -> bytes:
    """Any bytes, the same for each number."""
    return b"%d " % number + random.Random(number).randbytes(300)


def header(number: int) -> str:
    return f"\u03b1-{number}"


def arrived(data: bytes, key: str, found: str) -> Arrived:
    return Arrived(int(data.split(b" ")[0]), data, key, found)


class Passage(ABC):
    """One direction between a topic and a subscription of its own.

    Attributes:
      sent: how many, the poison not among them.
      arrived: in the order in which they came.
    """

    pipeline: str
    flags: list[str]
    bound: str

    def __init__(self, servers: Servers, kafka: Kafka, pubsub: PubSub, name: str) -> None:
        self.servers = servers
        self.kafka, self.pubsub, self.name = kafka, pubsub, name
        self.dead_topic = kafka.create(f"{name}-dead", max_message_bytes="12000000")
        self.topic, self.subscription = pubsub.create(name, ordered=True)
        self.sent = 0
        self.arrived: list[Arrived] = []

    def send(self, count: int) -> None:
        numbers = range(self.sent, self.sent + count)
        self._send(numbers)
        self.sent += count

    def sending(self) -> Producer:
        """Sends on, in a thread, while the context lasts."""
        return Producer(self)

    def numbers(self) -> set[int]:
        """Of all that has arrived so far."""
        self._receive()
        return {arrived.number for arrived in self.arrived}

    def drain(self) -> set[int]:
        """Of all that has arrived, when nothing more does."""
        before = -1
        while before < len(self.arrived):
            before = len(self.arrived)
            self._receive()
        return self.numbers()

    def await_first(self, count: int) -> None:
        first = set(range(count))
        until(lambda: first <= self.numbers(), f"the first {count} of {self.name} have arrived")

    def dead_letters(self) -> int:
        return self.kafka.size(self.dead_topic)

    @abstractmethod
    def _send(self, numbers: range) -> None: ...

    @abstractmethod
    def _receive(self) -> None: ...

    @abstractmethod
    def send_poison(self) -> None:
        """One that can never be delivered."""

    def committed(self) -> int | None:
        """How many, where the source tells."""
        return None

    @abstractmethod
    def bound_messages(self, there: int) -> int:
        """How many a run with the flag `bound` takes when so many are there."""

    @abstractmethod
    def left(self, count: int) -> int:
        """How many the source would give again; takes them. `count`: how many are expected."""

    @property
    @abstractmethod
    def destination(self) -> Proxy:
        """What stands before it, for bridges."""


class Producer:
    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(PACE_S):
            self._passage.send(10)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error) -> None:
        self._ended.set()
        self._thread.join(30)


class ToPubSub(Passage):
    pipeline = "kafka_to_ps"
    bound = "--stop=now"

    def __init__(self, servers: Servers, kafka: Kafka, pubsub: PubSub, name: str) -> None:
        super().__init__(servers, kafka, pubsub, name)
        kafka.create(name, PARTITIONS)
        self.flags = [
            f"--kafka_topics={name}",
            f"--group_id={name}",
            f"--pubsub_topic={self.topic}",
            "--ordering_key=key",
        ]

    @property
    def destination(self) -> Proxy:
        return self.servers.pubsub_proxy

    def _send(self, numbers: range) -> None:
        self.kafka.send(
            KafkaRecord(
                self.name,
                key=b"key-%d" % (number % KEYS),
                value=payload(number),
                headers=(("h", header(number).encode()),),
            )
            for number in numbers
        )

    def send_poison(self) -> None:
        self.kafka.send([KafkaRecord(self.name, key=b"k" * 1_025, value=b"poison")])

    def _receive(self) -> None:
        for message in self.pubsub.pull(self.subscription):
            found = message.attributes["h"]
            self.arrived.append(arrived(message.data, message.ordering_key, found))

    def committed(self) -> int:
        return self.kafka.committed(self.name)

    def members(self) -> list:
        return retried(lambda: self.kafka.admin.group_members(self.name), 20)

    def bound_messages(self, there: int) -> int:
        return there

    def left(self, count: int) -> int:
        return self.kafka.size(self.name) - self.committed()


class ToKafka(Passage):
    pipeline = "ps_to_kafka"
    bound = "--max_messages=100"

    def __init__(self, servers: Servers, kafka: Kafka, pubsub: PubSub, name: str) -> None:
        super().__init__(servers, kafka, pubsub, name)
        kafka.create(name, PARTITIONS, max_message_bytes="20000")
        self.flags = [f"--subscription={self.subscription}", f"--kafka_topic={name}"]
        self._offsets_seen = 0

    @property
    def destination(self) -> Proxy:
        return self.servers.kafka_proxy

    def _send(self, numbers: range) -> None:
        self.pubsub.send(
            self.topic,
            [
                PubsubRecord(payload(number), {"h": header(number)}, f"key-{number % KEYS}")
                for number in numbers
            ],
        )

    def send_poison(self) -> None:
        self.pubsub.send(self.topic, [PubsubRecord(bytes(30_000), {}, "poison")])

    def _receive(self) -> None:
        if self.kafka.size(self.name) == self._offsets_seen:
            return
        records = self.kafka.receive(self.name)
        self._offsets_seen = len(records)
        self.arrived = [
            arrived(record.value, record.key.decode(), dict(record.headers)["h"].decode())
            for record in records
        ]

    def bound_messages(self, there: int) -> int:
        return 100

    def left(self, count: int) -> int:
        return len(self.pubsub.receive(self.subscription, count))


PASSAGES = {passage.pipeline: passage for passage in (ToKafka, ToPubSub)}
