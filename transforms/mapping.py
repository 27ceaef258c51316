"""Kafka record <-> Pub/Sub message: pure functions, one record at a time.

Names are those of Google's Kafka connector: attributes `kafka.topic`, `kafka.partition`,
`kafka.offset`, `kafka.timestamp` (milliseconds since the epoch, as text) and `key`; headers
`pubsub.messageId`, `pubsub.publishTime` (milliseconds since the epoch, as text) and
`pubsub.orderingKey`. The payload is never touched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from transforms import limits
from transforms.errors import UnmappableError
from transforms.records import Headers, KafkaRecord, PubsubRecord

KEY = "key"
TOPIC = "kafka.topic"
PARTITION = "kafka.partition"
OFFSET = "kafka.offset"
TIMESTAMP = "kafka.timestamp"
KAFKA_ATTRIBUTES = frozenset({KEY, TOPIC, PARTITION, OFFSET, TIMESTAMP})

MESSAGE_ID = "pubsub.messageId"
PUBLISH_TIME = "pubsub.publishTime"
ORDERING_KEY = "pubsub.orderingKey"
PUBSUB_HEADERS = frozenset({MESSAGE_ID, PUBLISH_TIME, ORDERING_KEY})


class Attributes(Enum):
    """What travels beside the payload."""

    NONE = "none"
    METADATA = "metadata"


@dataclass(frozen=True)
class ToPubsubPolicy:
    """How Kafka records become Pub/Sub messages.

    Attributes:
      attributes: what travels beside the payload.
      ordering_key: taken from the record's key, from its `topic/partition`, or none.
    """

    attributes: Attributes = Attributes.METADATA
    ordering_key: Literal["none", "key", "partition"] = "none"


@dataclass(frozen=True)
class ToKafkaPolicy:
    """How Pub/Sub messages become Kafka records.

    Attributes:
      topic: the destination topic.
      attributes: what travels beside the payload.
      key: where the key comes from. `auto`: what the `key` attribute says (with METADATA), else
        the ordering key if there is one.
      key_attribute: the attribute's name for `key="attribute"`.
      partition: chosen by the key, or the number in the `kafka.partition` attribute.
    """

    topic: str
    attributes: Attributes = Attributes.METADATA
    key: Literal["auto", "none", "ordering_key", "attribute"] = "auto"
    key_attribute: str = ""
    partition: Literal["key", "source"] = "key"


def to_pubsub(
    record: KafkaRecord, policy: ToPubsubPolicy, dropped: list[str] | None = None
) -> PubsubRecord:
    """Maps one Kafka record to one Pub/Sub message; the payload is not touched.

    Args:
      record: value of 0..10_000_000 bytes, or None for a tombstone; headers as an ordered tuple of
        (str, bytes | None), names may repeat.
      policy: which attributes to write, and what the ordering key is.
      dropped: takes, for each field that does not fit an attribute, what becomes of it and why.
    Returns:
      A message of at most 100 attributes; names <= 256 bytes, values <= 1024 bytes, all UTF-8.
    Raises:
      UnmappableError: the record cannot be expressed within Pub/Sub's limits (never retriable).
    Source: https://cloud.google.com/pubsub/quotas#resource_limits
    """
    attributes: dict[str, str] = {}
    if policy.attributes is Attributes.METADATA:
        attributes = {
            TOPIC: record.topic,
            PARTITION: str(record.partition),
            OFFSET: str(record.offset),
        }
        if record.timestamp_ms is not None:
            attributes[TIMESTAMP] = str(record.timestamp_ms)
        if record.key is not None:
            unfit = _unfit_value(record.key)
            if not unfit:
                attributes[KEY] = record.key.decode()
            elif dropped is not None:
                dropped.append(f"the key is left out: {unfit}")
        if record.value is None and dropped is not None:
            dropped.append("the null value is carried as an empty one")
        if record.headers:
            _add_headers(attributes, record.headers, dropped)
    elif not record.value:
        raise UnmappableError(
            f"map {record.name}: the value is {'null' if record.value is None else 'empty'}, and "
            "Pub/Sub refuses a message without data and attributes; use --attributes=metadata"
        )
    message = PubsubRecord(
        record.value or b"", attributes, _ordering_key(record, policy), origin=record
    )
    size_bytes = pubsub_size_bytes(message)
    if size_bytes > limits.PUBSUB_MAX_MESSAGE_BYTES:
        raise UnmappableError(
            f"map {record.name}: the message is {size_bytes} bytes, Pub/Sub's limit is "
            f"{limits.PUBSUB_MAX_MESSAGE_BYTES}; make it smaller at its source"
        )
    return message


def to_kafka(
    message: PubsubRecord, policy: ToKafkaPolicy, dropped: list[str] | None = None
) -> KafkaRecord:
    """Maps one Pub/Sub message to one Kafka record; the payload is not touched.

    Args:
      message: data of 0..10_000_000 bytes, at most 100 attributes.
      policy: the topic, which headers to write, where key and partition come from.
      dropped: takes, for each attribute that a header of ours has the name of, a line that says so.
    Returns:
      A record for `policy.topic` with the message's publish time as its timestamp; no offset.
    Raises:
      UnmappableError: `policy.partition` is `source` and the message does not say one.
    """
    attributes = message.attributes
    with_metadata = policy.attributes is Attributes.METADATA
    headers: list[tuple[str, bytes | None]] = []
    if with_metadata:
        key_carrier = KEY if policy.key == "auto" else None
        for name, value in attributes.items():
            if name in PUBSUB_HEADERS:
                if dropped is not None:
                    dropped.append(f"attribute {name} is left out: the bridge's own header")
            elif name != key_carrier:
                headers.append((name, value.encode()))
        headers.append((MESSAGE_ID, message.message_id.encode()))
        if message.publish_time_ms is not None:
            headers.append((PUBLISH_TIME, str(message.publish_time_ms).encode()))
        if message.ordering_key:
            headers.append((ORDERING_KEY, message.ordering_key.encode()))
    return KafkaRecord(
        policy.topic,
        _partition(message) if policy.partition == "source" else None,
        None,
        message.publish_time_ms,
        key=_kafka_key(message, policy, with_metadata),
        value=message.data,
        headers=tuple(headers),
        origin=message,
    )


def pubsub_size_bytes(message: PubsubRecord) -> int:
    """Bytes that a message counts against Pub/Sub's limit: data, attributes, ordering key."""
    size = len(message.data) + len(message.ordering_key.encode())
    for name, value in message.attributes.items():
        size += len(name.encode()) + len(value.encode())
    return size


def _add_headers(attributes: dict[str, str], headers: Headers, dropped: list[str] | None) -> None:
    """Headers that fit become attributes of the same name, up to Pub/Sub's number of them."""
    repeats = Counter(name for name, _ in headers)
    for name, value in headers:
        unfit = _unfit_name(name, repeats[name]) or _unfit_value(value)
        if len(attributes) >= limits.PUBSUB_MAX_ATTRIBUTES and not unfit:
            if dropped is not None:
                dropped.append(
                    f"a header is left out: beyond {limits.PUBSUB_MAX_ATTRIBUTES} attributes"
                )
        elif unfit or value is None:
            if dropped is not None:
                dropped.append(f"header {name[:80]!r} is left out: {unfit}")
        else:
            attributes[name] = value.decode()


def _unfit_name(name: str, occurrences: int) -> str:
    """Why a header's name cannot be an attribute's; empty if it can."""
    size_bytes = len(name.encode())
    if occurrences > 1:
        return "its name is repeated"
    if name in KAFKA_ATTRIBUTES:
        return "its name is the bridge's own"
    if name.startswith(limits.PUBSUB_RESERVED_ATTRIBUTE_PREFIX):
        return "its name is reserved by Pub/Sub"
    if not size_bytes:
        return "its name is empty"
    if size_bytes > limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES:
        return f"its name is {size_bytes} bytes, limit {limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES}"
    return ""


def _unfit_value(value: bytes | None) -> str:
    """Why bytes cannot be an attribute's value; empty if they can."""
    if value is None:
        return "it is null"
    if len(value) > limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES:
        return f"it is {len(value)} bytes, limit {limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES}"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return ""


def _ordering_key(record: KafkaRecord, policy: ToPubsubPolicy) -> str:
    if policy.ordering_key == "none" or (policy.ordering_key == "key" and record.key is None):
        return ""
    if policy.ordering_key == "partition":
        return f"{record.topic}/{record.partition}"
    key = record.key or b""
    if len(key) > limits.PUBSUB_MAX_ORDERING_KEY_BYTES:
        raise UnmappableError(
            f"map {record.name}: the key is {len(key)} bytes, an ordering key's limit is "
            f"{limits.PUBSUB_MAX_ORDERING_KEY_BYTES}; use --ordering_key=partition or none"
        )
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise UnmappableError(
            f"map {record.name}: the key is not UTF-8, and an ordering key has to be; "
            "use --ordering_key=partition or none"
        ) from None


def _kafka_key(message: PubsubRecord, policy: ToKafkaPolicy, with_metadata: bool) -> bytes | None:
    key: str | None = None
    if policy.key == "attribute":
        key = message.attributes.get(policy.key_attribute)
    elif policy.key == "auto":
        key = message.attributes.get(KEY) if with_metadata else None
        key = message.ordering_key or None if key is None else key
    elif policy.key == "ordering_key":
        key = message.ordering_key or None
    return None if key is None else key.encode()


def _partition(message: PubsubRecord) -> int:
    text = message.attributes.get(PARTITION)
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) <= 10
    if text is None or not is_number or int(text) > limits.KAFKA_MAX_PARTITION:
        found = "is missing" if text is None else "is no partition's number"
        raise UnmappableError(
            f"map {message.name}: --partition=source, but attribute {PARTITION} {found}; "
            "use --partition=key"
        )
    return int(text)
