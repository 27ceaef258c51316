"""The two records that travel through the pipelines: one of Kafka, one of Pub/Sub.

Both are immutable tuples with names: cheap to make (0.4 us), picklable, equal only to a record of
the same class. Their `repr` tells sizes, never contents, so that no payload reaches a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

Headers = tuple[tuple[str, bytes | None], ...]
"""Kafka headers in their order; names may repeat, values may be null. Bytes of a name that are not
UTF-8 are surrogates, as by `bytes.decode("utf-8", "surrogateescape")`."""


class TimestampType(IntEnum):
    """Where a Kafka record's timestamp comes from, with the protocol's numbers."""

    NONE = -1
    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class _KafkaFields(NamedTuple):
    topic: str
    partition: int | None
    offset: int | None
    timestamp_ms: int | None
    timestamp_type: TimestampType
    key: bytes | None
    value: bytes | None
    headers: Headers
    made_from: KafkaRecord | PubsubRecord | None


class _PubsubFields(NamedTuple):
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    message_id: str
    publish_time_ms: int | None
    made_from: KafkaRecord | PubsubRecord | None


class KafkaRecord(_KafkaFields):
    """One Kafka record, read or to be written.

    Attributes:
      topic: the topic's name.
      partition: its number; None in a record to be written lets the partitioner choose.
      offset: position in the partition; None in a record to be written.
      timestamp_ms: milliseconds since the epoch; None lets the writing client set it.
      timestamp_type: who set the timestamp.
      key: bytes of any content, or None.
      value: the payload, or None for a tombstone.
      headers: `((name, value or None), ...)`.
      made_from: what this record was made from, a message as a rule; not part of equality.
    """

    __slots__ = ()

    def __new__(
        cls,
        topic: str,
        partition: int | None = None,
        offset: int | None = None,
        timestamp_ms: int | None = None,
        timestamp_type: TimestampType = TimestampType.CREATE_TIME,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Headers = (),
        made_from: KafkaRecord | PubsubRecord | None = None,
    ) -> KafkaRecord:
        return tuple.__new__(
            cls,
            (
                topic,
                partition,
                offset,
                timestamp_ms,
                timestamp_type,
                key,
                value,
                headers,
                made_from,
            ),
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is KafkaRecord and tuple(self)[:-1] == tuple(other)[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self)[:-1])

    def __repr__(self) -> str:
        return (
            f"KafkaRecord({self.name}, key={_size(self.key)}, value={_size(self.value)}, "
            f"{len(self.headers)} headers)"
        )

    @property
    def name(self) -> str:
        """How errors and logs name it: `topic/partition@offset`, or what it was mapped from."""
        where = f"/{self.partition}" if self.partition is not None else ""
        if self.offset is None and self.made_from is not None:
            return f"{self.topic}{where} (from {self.made_from.name})"
        at = f"@{self.offset}" if self.offset is not None else ""
        return f"{self.topic}{where}{at}"

    @property
    def payload_bytes(self) -> int:
        """Bytes of key, value and headers: what the in-flight limit counts."""
        return kafka_bytes((self,))


class PubsubRecord(_PubsubFields):
    """One Pub/Sub message, pulled or to be published.

    Attributes:
      data: the payload, possibly empty.
      attributes: name to text.
      ordering_key: empty where there is none.
      message_id: the service's id; empty in a message to be published.
      publish_time_ms: milliseconds since the epoch; None in a message to be published.
      made_from: what this message was made from, a record as a rule; not part of equality.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: bytes = b"",
        attributes: Mapping[str, str] | None = None,
        ordering_key: str = "",
        message_id: str = "",
        publish_time_ms: int | None = None,
        made_from: KafkaRecord | PubsubRecord | None = None,
    ) -> PubsubRecord:
        return tuple.__new__(
            cls,
            (data, attributes or {}, ordering_key, message_id, publish_time_ms, made_from),
        )

    def __eq__(self, other: object) -> bool:
        return type(other) is PubsubRecord and tuple(self)[:-1] == tuple(other)[:-1]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.data, frozenset(self.attributes.items()), self.ordering_key))

    def __repr__(self) -> str:
        return (
            f"PubsubRecord({self.name}, data={_size(self.data)}, {len(self.attributes)} attributes)"
        )

    @property
    def name(self) -> str:
        """How errors and logs name a message: its id, else the record that it came from."""
        if self.message_id:
            return f"message {self.message_id}"
        return self.made_from.name if self.made_from is not None else "message without id"

    @property
    def payload_bytes(self) -> int:
        """Bytes of data and attributes: what the in-flight limit counts."""
        return pubsub_bytes((self,))


def kafka_bytes(records: Iterable[KafkaRecord]) -> int:
    """The `payload_bytes` of all of them; asking each takes three times as long."""
    size = 0
    for _, _, _, _, _, key, value, headers, _ in records:
        if key:
            size += len(key)
        if value:
            size += len(value)
        for name, of_name in headers:
            size += len(name)
            if of_name:
                size += len(of_name)
    return size


def pubsub_bytes(messages: Iterable[PubsubRecord]) -> int:
    """The `payload_bytes` of all of them; asking each takes three times as long."""
    size = 0
    for data, attributes, _, _, _, _ in messages:
        size += len(data)
        if attributes:
            for name, value in attributes.items():
                size += len(name) + len(value)
    return size


def _size(value: Any) -> str:
    return "None" if value is None else f"{len(value)} B"
