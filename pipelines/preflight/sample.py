"""What a sample shows: how many messages fit, and why the others do not; pure, no server."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipelines import policies
from pipelines.facts import Facts
from pipelines.options import Options
from pipelines.preflight.sample_topics import Topics
from transforms import explain
from transforms.attributes import size_bytes
from transforms.errors import PoisonError
from transforms.explain import Destination, Fate
from transforms.limits import PUBSUB_MAX_MESSAGE_BYTES, PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S
from transforms.records import KafkaRecord, PubsubRecord

MAX_ORDERING_KEYS = 20
"""How many of the busiest ordering keys are named."""

_DIGITS = 12


class Row(NamedTuple):
    """One reason, the messages that have it, and the first of them by name.

    A message with several reasons is in several rows, all of one kind.
    """

    kind: str
    reason: str
    records: int
    example: str


class Largest(NamedTuple):
    """The largest message, by name."""

    name: str = ""
    bytes: int = 0


class BusyKey(NamedTuple):
    """An ordering key that passes the limit.

    Attributes:
      key: `topic/partition`, else the beginning of its SHA-256, since keys may be data.
      busiest_bytes_per_s: in its busiest second.
      mean_bytes_per_s: from the first to the last second in which the sample has it.
      example: a message that has it, by name.
    """

    key: str
    records: int
    busiest_bytes_per_s: int
    mean_bytes_per_s: int
    example: str


@dataclass
class _KeyUse:
    example: str
    records: int = 0
    bytes_by_second: Counter[int] = field(default_factory=Counter)


class Tally:
    """Adds up what becomes of each message.

    Attributes:
      sampled: how many were added.
      kinds: how many of each kind; each message once.
      payload: the largest by key, value and headers, or data and attributes.
      mapped: the largest as the other side counts it: a message, or a record batch.
      limit_bytes: of what is mapped.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.sampled = 0
        self.kinds: Counter[str] = Counter()
        self.payload = Largest()
        self.mapped = Largest()
        self._rows: dict[tuple[str, str], Row] = {}
        self._keys: dict[str, _KeyUse] = {}

    def add(self, original: KafkaRecord | PubsubRecord, fate: Fate) -> None:
        """Adds a message, as it was read, and what becomes of it."""
        name = original.name
        self.sampled += 1
        self.kinds[fate.kind] += 1
        for reason in fate.reasons or ("",):
            row = self._rows.get((fate.kind, reason)) or Row(fate.kind, reason, 0, name)
            self._rows[fate.kind, reason] = row._replace(records=row.records + 1)
        if original.payload_bytes > self.payload.bytes or not self.payload.name:
            self.payload = Largest(name, original.payload_bytes)
        mapped = fate.mapped
        if mapped is None:
            return
        size = (
            size_bytes(mapped) if isinstance(mapped, PubsubRecord) else explain.batch_bytes(mapped)
        )
        if size > self.mapped.bytes:
            self.mapped = Largest(name, size)
        if isinstance(mapped, PubsubRecord) and isinstance(original, KafkaRecord):
            self._add_to_key(original, mapped.ordering_key, size)

    def _add_to_key(self, original: KafkaRecord, ordering_key: str, size: int) -> None:
        if not ordering_key or original.timestamp_ms is None:
            return
        place = f"{original.topic}/{original.partition}"
        use = self._keys.setdefault(
            ordering_key if ordering_key == place else _digest(ordering_key),
            _KeyUse(original.name),
        )
        use.records += 1
        use.bytes_by_second[original.timestamp_ms // 1000] += size

    def rows(self) -> list[Row]:
        """The worst kinds first, in each the most frequent reason."""
        return sorted(self._rows.values(), key=_rank)

    def key_count(self) -> int:
        """How many ordering keys there are, busy or not."""
        return len(self._keys)

    def busy_keys(self) -> list[BusyKey]:
        """The ordering keys whose busiest second passes Pub/Sub's limit, the busiest first."""
        found = []
        for key, use in self._keys.items():
            by_second = use.bytes_by_second
            busiest = max(by_second.values())
            if busiest > PUBSUB_MAX_ORDERING_KEY_BYTES_PER_S:
                mean = by_second.total() // (max(by_second) - min(by_second) + 1)
                found.append(BusyKey(key, use.records, busiest, mean, use.example))
        return sorted(found, key=_busiest_first)[:MAX_ORDERING_KEYS]


def _rank(row: Row) -> tuple[int, int, str]:
    return explain.KINDS.index(row.kind), -row.records, row.reason


def _busiest_first(key: BusyKey) -> tuple[int, str]:
    return -key.busiest_bytes_per_s, key.key


def _digest(ordering_key: str) -> str:
    return f"sha256:{hashlib.sha256(ordering_key.encode()).hexdigest()[:_DIGITS]}"


# -- the bridge that is meant ----------------------------------------------------------------------


def tally_of_records(options: Options, facts: Facts) -> tuple[Tally, Callable[[Any], None]]:
    """An empty tally, and what adds a Kafka record to it as kafka_to_ps would map it."""
    policy = policies.to_pubsub_policy(options, facts)
    origin_of = policies.origin_of(options, facts)
    topics = Topics(options, facts)
    tally = Tally(PUBSUB_MAX_MESSAGE_BYTES)

    def add(record: KafkaRecord) -> None:
        try:
            topic = topics.of(record)
        except PoisonError as error:
            tally.add(record, explain.refused(error, record.name))
        else:
            tally.add(record, explain.of_record(record, policy, origin_of(topic.name)))

    return tally, add


def tally_of_messages(
    options: Options, facts: Facts, clock: Callable[[], float]
) -> tuple[Tally, Callable[[Any], None]]:
    """An empty tally, and what adds a Pub/Sub message to it as ps_to_kafka would map and write it.

    Args:
      clock: seconds since the epoch.
    """
    policy = policies.to_kafka_policy(options, facts)
    origin_of = policies.origin_of(options, facts)
    topics = Topics(options, facts)
    tally = Tally(facts.topic.max_message_bytes)

    def add(message: PubsubRecord) -> None:
        try:
            topic = topics.of(message)
        except PoisonError as error:
            tally.add(message, explain.refused(error, message.name))
            return
        to = Destination(topic, options.client, int(clock() * 1000))
        tally.add(message, explain.of_message(message, policy, origin_of(topic.name), to))

    return tally, add
