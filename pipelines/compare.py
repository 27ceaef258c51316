"""Compares what was sent with what lies at the other end, without looking at what the bridge says.

An alert is known by two things that the bridge does not make: the number that is inside it, and the
SHA-256 of all its bytes.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from pipelines import alerts
from transforms.errors import SourceError
from transforms.kafka.client import ConsumerConfig, KafkaConfig
from transforms.kafka.clients import open_admin, open_consumer
from transforms.pubsub.client import Subscriber

PATIENCE_S = 10.0
"""What has not arrived after so long without any message is missing."""

_CALL_S = 10.0
_QUIET_S = 1.0  # a subscription that has given all is asked once more, for duplicates


class Print(NamedTuple):
    """What identifies an alert; the number is None where it can no longer be read."""

    number: int | None
    sha256: str


class Outcome(NamedTuple):
    """How many were sent one way, and what became of them."""

    sent: int
    delivered: int
    lost: int
    duplicated: int
    changed: int

    @property
    def faithful(self) -> bool:
        """Whether nothing was lost or changed; at least once allows duplicates."""
        return not (self.lost or self.changed)

    def __str__(self) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in self._asdict().items())


def census(payloads: Iterable[bytes | None]) -> Counter[Print]:
    """The prints of all payloads, with how often each occurs."""
    return Counter(
        Print(alerts.number_of(payload), hashlib.sha256(payload).hexdigest())
        for payload in (payload or b"" for payload in payloads)
    )


def compare(sent: Counter[Print], arrived: Counter[Print]) -> Outcome:
    """What became of `sent`; an alert whose number arrived with other bytes is not lost."""
    extra = arrived - sent
    changed = Counter({found: n for found, n in extra.items() if found not in sent})
    missing = Counter(found.number for found in (sent - arrived).elements())
    lost = missing - Counter(found.number for found in changed.elements())
    return Outcome(
        sent=sent.total(),
        delivered=(sent & arrived).total(),
        lost=lost.total(),
        duplicated=extra.total() - changed.total(),
        changed=changed.total(),
    )


def values_in_kafka(config: KafkaConfig, topic: str) -> Iterator[bytes | None]:
    """The values of all records that a topic has now.

    Raises:
      SourceError: the topic cannot be read to its end.
    """
    with closing(open_admin(config, _CALL_S)) as admin:
        partitions = admin.partitions([topic])
        positions, ends = admin.beginning_offsets(partitions), admin.end_offsets(partitions)
    with closing(open_consumer(config, ConsumerConfig("compare"))) as consumer:
        consumer.assign(positions)
        give_up = time.monotonic() + PATIENCE_S
        while any(positions[p] < ends[p] for p in partitions):
            if time.monotonic() > give_up:
                raise SourceError(f"read {topic}: nothing more comes, and its end is not reached")
            for record in consumer.poll(0.5, 500):
                give_up = time.monotonic() + PATIENCE_S
                yield record.value
            positions = consumer.positions()


def data_in_pubsub(subscription: str, expected: int) -> Iterator[bytes]:
    """The data of all messages that a subscription gives; they are acknowledged."""
    with closing(Subscriber(subscription)) as subscriber:
        count, heard = 0, time.monotonic()
        while True:
            pulled = subscriber.pull(100, _QUIET_S)
            if pulled:
                heard = time.monotonic()
                subscriber.acknowledge(pulled.ack_ids, _CALL_S)
                count += len(pulled)
                yield from (record.data for record in pulled.records)
            elif count >= expected or time.monotonic() - heard > PATIENCE_S:
                return
