"""A producer whose every message can be accounted for, and a reader that does the accounting.

A payload of 1 kB is a run's id, a sequence number, random padding, and the SHA-256 of all that. The
producer keeps which numbers the source has confirmed; the reader keeps how often each one arrived.
Then `lost` = confirmed - arrived, `changed` = what is none of this run's payloads, bit for bit, and
`duplicated` = arrivals - distinct. Neither uses the bridge's clients.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import confluent_kafka
import grpc
from google.pubsub_v1 import types

PAYLOAD_BYTES = 1_000
BATCH = 500
KEYS = 8
"""Ordering keys, where messages have any."""

_HEAD = struct.Struct(">8sQ")
_DIGEST_BYTES = 32
_REQUEST_TIMEOUT_S = 25.0
_PULL_S = 30.0


class Verdict(NamedTuple):
    """`acked`: messages that the source has confirmed; `delivered`: arrivals, repeated or not.

    `unacked`: arrivals of messages that the source was given and did not confirm, which may arrive
    or not. `reordered`: first arrivals after a later one of the same key or partition.
    """

    acked: int
    delivered: int
    lost: int
    changed: int
    duplicated: int
    unacked: int
    reordered: int


class Ledger:
    """Which sequence numbers were given to the source, confirmed by it, and have arrived."""

    def __init__(self, seed: int) -> None:
        self._run = os.urandom(8)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._acked = bytearray()
        self._arrived = bytearray()
        self._newest: dict[Any, int] = {}
        self.sent = 0
        self.acked = 0
        self.acked_arrived = 0
        self.delivered = 0
        self.distinct = 0
        self.changed = 0
        self.reordered = 0
        self.samples: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def payloads(self, count: int) -> tuple[int, list[bytes]]:
        """New payloads, and the first one's number."""
        with self._lock:
            first, self.sent = self.sent, self.sent + count
            self._acked.extend(bytes(count))
            self._arrived.extend(bytes(count))
        padding = PAYLOAD_BYTES - _HEAD.size - _DIGEST_BYTES
        made = []
        for number in range(first, first + count):
            body = _HEAD.pack(self._run, number) + self._random.randbytes(padding)
            made.append(body + hashlib.sha256(body).digest())
        return first, made

    def confirmed(self, numbers: Sequence[int]) -> None:
        """The source has confirmed these."""
        with self._lock:
            for number in numbers:
                self._acked[number] = 1
                self.acked_arrived += self._arrived[number] > 0
            self.acked += len(numbers)

    def arrived(self, payloads: Sequence[tuple[bytes | None, Any]]) -> None:
        """What the destination holds more, each with its key or partition."""
        with self._lock:
            for payload, key in payloads:
                self._arrived_one(payload or b"", key)
            self.delivered += len(payloads)
            self.samples.append((time.monotonic(), self.delivered))

    def _arrived_one(self, payload: bytes, key: Any) -> None:
        number = self.number_of(payload)
        if number is None:
            self.changed += 1
            return
        times = self._arrived[number]
        self._arrived[number] = min(255, times + 1)
        if not times:
            self.distinct += 1
            self.acked_arrived += self._acked[number]
            if key is not None:
                self.reordered += number < self._newest.get(key, 0)
                self._newest[key] = max(number, self._newest.get(key, 0))

    def number_of(self, payload: bytes) -> int | None:
        """The number of a payload; None if it is none of this run's, as it was made."""
        if len(payload) != PAYLOAD_BYTES:
            return None
        run, number = _HEAD.unpack_from(payload)
        body, digest = payload[:-_DIGEST_BYTES], payload[-_DIGEST_BYTES:]
        if run != self._run or number >= self.sent or hashlib.sha256(body).digest() != digest:
            return None
        return number

    def has_arrived(self, number: int) -> bool:
        return self._arrived[number] > 0

    def forgive(self, numbers: Sequence[int]) -> None:
        """Takes back that these were confirmed: their source has forgotten them since."""
        with self._lock:
            for number in numbers:
                self.acked -= self._acked[number]
                self.acked_arrived -= self._acked[number] and self._arrived[number] > 0
                self._acked[number] = 0

    @property
    def outstanding(self) -> int:
        """Confirmed by the source and not arrived."""
        return self.acked - self.acked_arrived

    def missing(self) -> list[int]:
        with self._lock:
            return [n for n in range(self.sent) if self._acked[n] and not self._arrived[n]]

    def verdict(self) -> Verdict:
        lost = len(self.missing())
        with self._lock:
            return Verdict(
                self.acked,
                self.delivered,
                lost,
                self.changed,
                self.delivered - self.changed - self.distinct,
                self.distinct - self.acked_arrived,
                self.reordered,
            )


class Producer:
    """Sends payloads from a thread, bounded in rate, in what is outstanding, in number and time.

    Args:
      send: gives the source payloads of one batch, the first of which has a number; returns the
        numbers that the source has confirmed. Waits until each is confirmed or has failed.
      rate: messages a second; None for as many as `backlog` admits.
      backlog: at most so many are confirmed and have not arrived.
      most: messages in all.
      seconds: the producer ends by itself after this.
    """

    def __init__(
        self,
        ledger: Ledger,
        send: Callable[[int, list[bytes]], Sequence[int]],
        *,
        rate: float | None = None,
        backlog: int = 8_000,
        most: int = 2_000_000,
        seconds: float = 240.0,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._rate = rate
        self._backlog = backlog
        self._most = most
        self._ends = time.monotonic() + seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.error: Exception | None = None

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends it; what is under way is confirmed or has failed."""
        self._stopping.set()
        self._thread.join(2 * _REQUEST_TIMEOUT_S)
        if self.error is not None:
            raise self.error
        assert not self._thread.is_alive(), "the producer hangs"

    def _run(self) -> None:
        try:
            began, sent = time.monotonic(), 0
            while not self._stopping.is_set() and time.monotonic() < self._ends:
                elapsed = time.monotonic() - began
                room = min(
                    BATCH,
                    self._most - sent,
                    self._backlog - self._ledger.outstanding,
                    BATCH if self._rate is None else int(self._rate * (elapsed + 0.1)) - sent,
                )
                if sent >= self._most:
                    return
                if room < min(BATCH, 100, self._most - sent):
                    self._stopping.wait(0.01)
                    continue
                first, payloads = self._ledger.payloads(room)
                self._ledger.confirmed(self._send(first, payloads))
                sent += room
        except Exception as error:
            self.error = error


class Reader(ABC):
    """Reads all that arrives at a destination, in a thread, into the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.error: Exception | None = None
        self.quiet_since = time.monotonic()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        self._interrupt()
        self._thread.join(_PULL_S)
        if self.error is not None:
            raise self.error

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing more has come for so long, while asking."""
        if self.error is not None:
            raise self.error
        return time.monotonic() - self.quiet_since > seconds

    def _run(self) -> None:
        try:
            with closing(self._open()) as source:
                while not self._stopping.is_set():
                    if found := self._read(source):
                        self._ledger.arrived(found)
                        self.quiet_since = time.monotonic()
        except Exception as error:
            if not self._stopping.is_set():
                self.error = error

    @abstractmethod
    def _open(self) -> Any:
        """The connection that `_read` uses; has `close`."""

    @abstractmethod
    def _read(self, source: Any) -> list[tuple[bytes | None, Any]]:
        """What has come, within a second or so."""

    def _interrupt(self) -> None:  # noqa: B027
        """Ends a read that waits."""


# -- Kafka -----------------------------------------------------------------------------------------


class KafkaSource:
    """Writes payloads to a topic's partitions in turn, a batch to each; each message once."""

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self.partitions = partitions
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "enable.idempotence": True,
                "topic.metadata.refresh.interval.ms": 1_000,
                "linger.ms": 2,
                "message.timeout.ms": int(_REQUEST_TIMEOUT_S * 1000),
                "log_level": 0,
            }
        )

    def send(self, first: int, payloads: list[bytes]) -> list[int]:
        confirmed: list[int] = []
        partition = first // 100 % self.partitions

        def on_delivery(number: int) -> Callable[[Any, Any], None]:
            return lambda error, _message: None if error else confirmed.append(number)

        for number, payload in enumerate(payloads, first):
            try:
                self._producer.produce(
                    self._topic, payload, partition=partition, on_delivery=on_delivery(number)
                )
            except confluent_kafka.KafkaException:  # a new partition, not known here yet
                self._producer.poll(0.1)
                break
        assert not self._producer.flush(_REQUEST_TIMEOUT_S + 10), "neither confirmed nor failed"
        return confirmed

    def send_key(self, partition: int, key: bytes) -> tuple[int, int]:
        """Writes a record without a value; returns its partition and offset."""
        offsets: list[int] = []
        self._producer.produce(
            self._topic,
            None,
            key,
            partition,
            on_delivery=lambda error, message: offsets.append(-1 if error else message.offset()),
        )
        assert not self._producer.flush(_REQUEST_TIMEOUT_S + 10)
        assert offsets[0] >= 0, "not confirmed"
        return partition, offsets[0]

    def close(self) -> None:
        self._producer.close()


class KafkaReader(Reader):
    """Reads a topic from its beginning; looks for new partitions every second."""

    def __init__(self, ledger: Ledger, bootstrap_servers: str, topic: str) -> None:
        super().__init__(ledger)
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._partitions = 0
        self._look_at = 0.0

    def _open(self) -> confluent_kafka.Consumer:
        return confluent_kafka.Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": f"verify-{self._topic}",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "topic.metadata.refresh.interval.ms": 1000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def _read(self, source: confluent_kafka.Consumer) -> list[tuple[bytes | None, Any]]:
        if time.monotonic() >= self._look_at:
            self._assign(source)
        found = []
        for message in source.consume(1000, 0.1):
            if error := message.error():
                if error.code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET:
                    raise AssertionError(f"the destination has lost records: {error.str()}")
                continue
            found.append((message.value(), message.key() and (message.partition(), message.key())))
        return found

    def _assign(self, source: confluent_kafka.Consumer) -> None:
        self._look_at = time.monotonic() + 1.0
        try:
            topics = source.list_topics(self._topic, timeout=2).topics
        except confluent_kafka.KafkaException:
            return
        known, self._partitions = (
            self._partitions,
            max(self._partitions, len(topics[self._topic].partitions)),
        )
        new = range(known, self._partitions)
        if new:
            source.incremental_assign(
                [confluent_kafka.TopicPartition(self._topic, n, 0) for n in new]
            )


# -- Pub/Sub ---------------------------------------------------------------------------------------


def _stub(channel: grpc.Channel, service: str, method: str, request: Any, response: Any) -> Any:
    return channel.unary_unary(
        f"/google.pubsub.v1.{service}/{method}",
        request_serializer=type(request.pb(request())).SerializeToString,
        response_deserializer=type(response.pb(response())).FromString,
    )


def _channel(address: str) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", 500),
        # a channel with connections of its own
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.insecure_channel(address, options=options)


class PubsubSource:
    """Publishes payloads to a topic, one request a batch, sent once.

    Args:
      ordered: each batch has one of `KEYS` ordering keys.
    """

    def __init__(self, address: str, topic: str, ordered: bool = False) -> None:
        self._topic = topic
        self._ordered = ordered
        self._channel = _channel(address)
        self._publish = _stub(
            self._channel, "Publisher", "Publish", types.PublishRequest, types.PublishResponse
        )

    def send(self, first: int, payloads: list[bytes]) -> list[int]:
        request = types.PublishRequest.pb(types.PublishRequest(topic=self._topic))
        key = f"key-{first // 100 % KEYS}" if self._ordered else ""
        for payload in payloads:
            request.messages.add(data=payload, ordering_key=key)
        try:
            answer = self._publish(request, timeout=_REQUEST_TIMEOUT_S)
        except grpc.RpcError:
            time.sleep(0.1)
            return []
        assert len(answer.message_ids) == len(payloads)
        return list(range(first, first + len(payloads)))

    def close(self) -> None:
        self._channel.close()


class PubsubReader(Reader):
    """Pulls and acknowledges; counts a message once, however often the service delivers it."""

    def __init__(self, ledger: Ledger, address: str, subscription: str) -> None:
        super().__init__(ledger)
        self._address = address
        self._subscription = subscription
        self._ids: set[int] = set()
        self._pulling: Any = None

    def forget_ids(self) -> None:
        """The service begins anew, with the same ids."""
        self._ids.clear()

    def _open(self) -> grpc.Channel:
        channel = _channel(self._address)
        self._pull = _stub(channel, "Subscriber", "Pull", types.PullRequest, types.PullResponse)
        request = types.AcknowledgeRequest
        self._ack = channel.unary_unary(
            "/google.pubsub.v1.Subscriber/Acknowledge",
            request_serializer=type(request.pb(request())).SerializeToString,
            response_deserializer=bytes,
        )
        return channel

    def _read(self, source: grpc.Channel) -> list[tuple[bytes | None, Any]]:
        request = types.PullRequest(subscription=self._subscription, max_messages=1000)
        try:
            self._pulling = self._pull.future(types.PullRequest.pb(request), timeout=_PULL_S)
            received = self._pulling.result().received_messages
        except (grpc.RpcError, grpc.FutureCancelledError):
            self._stopping.wait(0.1)
            return []
        found = []
        for item in received:
            number = int(item.message.message_id)
            if number not in self._ids:
                self._ids.add(number)
                found.append((item.message.data, item.message.ordering_key or None))
        acks = types.AcknowledgeRequest.pb(
            types.AcknowledgeRequest(subscription=self._subscription)
        )
        acks.ack_ids.extend(item.ack_id for item in received)
        with contextlib.suppress(grpc.RpcError):  # they come again, with ids that are known
            self._ack(acks, timeout=5)
        return found

    def _interrupt(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()
