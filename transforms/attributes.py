"""The names that the bridge gives attributes and headers, and what of a record fits an attribute.

Attributes `kafka.topic`, `kafka.partition`, `kafka.offset`, `kafka.timestamp` and `key` have the
names of Google's Kafka connector; the headers `pubsub.messageId`, `pubsub.publishTime` and
`pubsub.orderingKey` say where a message comes from; times are milliseconds since the epoch, as
text. What begins with `bridge.` is for the bridge itself: see docs/mapping.md.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from transforms import limits
from transforms.records import Headers, KafkaRecord, PubsubRecord

KEY = "key"
TOPIC = "kafka.topic"
PARTITION = "kafka.partition"
OFFSET = "kafka.offset"
TIMESTAMP = "kafka.timestamp"

MESSAGE_ID = "pubsub.messageId"
PUBLISH_TIME = "pubsub.publishTime"
ORDERING_KEY = "pubsub.orderingKey"

RECORD = "bridge.record"
"""Attribute: what a Kafka record has beyond plain attributes; goes on in `bridge.record.1`, ..."""

MESSAGE = "bridge.message"
"""Header: what a Pub/Sub message has beyond plain headers."""

ORIGINS = "bridge.origins"
"""Attribute and header: the topics that a message has been in, see `transforms.origins`."""

OWN_ATTRIBUTES = frozenset({KEY, TOPIC, PARTITION, OFFSET, TIMESTAMP, RECORD, ORIGINS})
OWN_HEADERS = frozenset({MESSAGE_ID, PUBLISH_TIME, ORDERING_KEY, MESSAGE, ORIGINS})

CUT = "\0"
"""librdkafka ends a header's name here without a word, so that no header gets such a name."""

_MAX_NAME_BYTES = limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES
_MAX_VALUE_BYTES = limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES


def place(record: KafkaRecord) -> dict[str, str]:
    """The attributes that say where and when a record was written."""
    topic, partition, offset, timestamp_ms = record[:4]
    attributes = {TOPIC: topic, PARTITION: str(partition), OFFSET: str(offset)}
    if timestamp_ms is not None:
        attributes[TIMESTAMP] = str(timestamp_ms)
    return attributes


def plain_headers(headers: Headers) -> dict[str, str]:
    """The headers that fit an attribute of the same name and text, in their order."""
    attributes: dict[str, str] = {}
    repeated = repeated_names(headers)
    for name, value in headers:
        if (
            value is not None
            and len(value) <= _MAX_VALUE_BYTES
            and name not in repeated
            and len(name) <= _MAX_NAME_BYTES
            and not unfit_name(name)
        ):
            try:
                attributes[name] = value.decode()
            except UnicodeDecodeError:
                continue  # not plain, as its absence says
    return attributes


def repeated_names(headers: Headers) -> frozenset[str]:
    """The names that more than one header has."""
    if len(dict(headers)) == len(headers):
        return frozenset()
    return frozenset(name for name, n in Counter(name for name, _ in headers).items() if n > 1)


@lru_cache(maxsize=4096)
def unfit_name(name: str) -> str:
    """Why a header's name cannot be an attribute's; empty if it can."""
    if not is_utf8(name):
        return "its name is not UTF-8"
    size_bytes = len(name.encode())
    if name in OWN_ATTRIBUTES or name.startswith(f"{RECORD}."):
        return "its name is the bridge's own"
    if name.startswith(limits.PUBSUB_RESERVED_ATTRIBUTE_PREFIX):
        return "its name is reserved by Pub/Sub"
    if not size_bytes:
        return "its name is empty"
    if size_bytes > _MAX_NAME_BYTES:
        return f"its name is over {_MAX_NAME_BYTES} bytes"
    return ""


def unfit_value(value: bytes | None) -> str:
    """Why bytes cannot be an attribute's value; empty if they can."""
    if value is None:
        return "it is null"
    if len(value) > _MAX_VALUE_BYTES:
        return f"it is over {_MAX_VALUE_BYTES} bytes"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return ""


def is_utf8(name: str) -> bool:
    """Whether a header's name was UTF-8; clients put surrogates where it was not."""
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False


def size_bytes(message: PubsubRecord) -> int:
    """Bytes that a message counts against Pub/Sub's limit: data, attributes, ordering key."""
    size = len(message.data) + len(message.ordering_key.encode())
    for name, value in message.attributes.items():
        size += len(name.encode()) + len(value.encode())
    return size
