"""Kafka record <-> Pub/Sub message: pure functions, one record at a time.

The payload is never touched. `transforms.attributes` has the names, `transforms.lossless` the form
of whole records, `transforms.origins` the marker of loop safety.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from transforms import limits, lossless, origins
from transforms.attributes import (
    CUT,
    KEY,
    MESSAGE_ID,
    ORDERING_KEY,
    ORIGINS,
    OWN_HEADERS,
    PARTITION,
    PUBLISH_TIME,
    place,
    plain_headers,
    repeated_names,
    size_bytes,
    unfit_name,
    unfit_value,
)
from transforms.errors import UnmappableError
from transforms.records import KafkaRecord, PubsubRecord, TimestampType


class Attributes(Enum):
    """What travels beside the payload."""

    NONE = "none"
    METADATA = "metadata"
    LOSSLESS = "lossless"


_NONE, _METADATA, _LOSSLESS = Attributes  # looking a member up takes 0.1 us
_CREATE_TIME = TimestampType.CREATE_TIME
_new = tuple.__new__  # of all of a record's fields: half of what its constructor takes


@dataclass(frozen=True)
class ToPubsubPolicy:
    """How Kafka records become Pub/Sub messages.

    Attributes:
      attributes: what travels beside the payload.
      ordering_key: taken from the record's key, from its `topic/partition`, or none; a message
        that was packed into a record has its own.
      cluster_id: of the source, for the marker of loop safety; without it no hop is marked.
    """

    attributes: Attributes = Attributes.METADATA
    ordering_key: Literal["none", "key", "partition"] = "none"
    cluster_id: str = ""


@dataclass(frozen=True)
class ToKafkaPolicy:
    """How Pub/Sub messages become Kafka records.

    Attributes:
      topic: the destination topic.
      attributes: what travels beside the payload.
      key: where the key comes from. `auto`: what the `key` attribute says (unless with NONE), else
        the ordering key if there is one. A record that was packed into a message has its own.
      key_attribute: the attribute's name for `key="attribute"`.
      partition: chosen by the key, or the number in the `kafka.partition` attribute.
      origin: of the source's topic, for the marker of loop safety; without it no hop is marked.
    """

    topic: str
    attributes: Attributes = Attributes.METADATA
    key: Literal["auto", "none", "ordering_key", "attribute"] = "auto"
    key_attribute: str = ""
    partition: Literal["key", "source"] = "key"
    origin: str = ""


_SURELY_FITTING_BYTES = (
    limits.PUBSUB_MAX_MESSAGE_BYTES
    - limits.PUBSUB_MAX_ORDERING_KEY_BYTES
    - limits.PUBSUB_MAX_ATTRIBUTES
    * (limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES + limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES)
)
"""Of data: no attributes and ordering key within their limits make such a message too large."""


def to_pubsub(
    record: KafkaRecord,
    policy: ToPubsubPolicy,
    dropped: list[str] | None = None,
    marker: str | None = None,
) -> PubsubRecord:
    """Maps one Kafka record to one Pub/Sub message; the payload is not touched.

    The inverse of `to_kafka` when `policy.attributes` is LOSSLESS.

    Args:
      record: value of 0..10_000_000 bytes, or None for a tombstone; headers as an ordered tuple of
        (str, bytes | None), names may repeat.
      policy: which attributes to write, and what the ordering key is.
      dropped: takes, for each field that is left out with METADATA, what becomes of it and why.
      marker: that of the record (`origins.in_headers`), where it is known already.
    Returns:
      A message of at most 100 attributes; names <= 256 bytes, values <= 1024 bytes, all UTF-8.
    Raises:
      UnmappableError: the record cannot be expressed within Pub/Sub's limits (never retriable).
    Source: https://cloud.google.com/pubsub/quotas#resource_limits
    """
    attributes: dict[str, str] = {}
    if policy.attributes is _LOSSLESS:
        packed = lossless.message_in(record)
        if packed is not None:
            return PubsubRecord(
                packed.data, packed.attributes, packed.ordering_key, made_from=record
            )
        attributes = lossless.pack_record(record)
    elif policy.attributes is _METADATA:
        attributes = _metadata(record, dropped)
    elif not record.value:
        raise UnmappableError(
            f"map {record.name}: the value is {'null' if record.value is None else 'empty'}, and "
            "Pub/Sub refuses a message without data and attributes",
            "use --attributes=metadata",
        )
    if attributes:
        marker = origins.in_headers(record.headers) if marker is None else marker
        if policy.cluster_id:
            marker = origins.extended(marker, origins.of_kafka(policy.cluster_id, record.topic))
        if marker:
            attributes[ORIGINS] = marker
    ordering_key = "" if policy.ordering_key == "none" else _ordering_key(record, policy)
    data = record.value or b""
    message = _new(PubsubRecord, (data, attributes, ordering_key, "", None, record))
    if len(data) > _SURELY_FITTING_BYTES:
        message_bytes = size_bytes(message)
        if message_bytes > limits.PUBSUB_MAX_MESSAGE_BYTES:
            raise UnmappableError(
                f"map {record.name}: the message is {message_bytes} bytes, Pub/Sub's limit is "
                f"{limits.PUBSUB_MAX_MESSAGE_BYTES}",
                "make it smaller at its source",
            )
    return message


def to_kafka(
    message: PubsubRecord,
    policy: ToKafkaPolicy,
    dropped: list[str] | None = None,
    marker: str | None = None,
) -> KafkaRecord:
    """Maps one Pub/Sub message to one Kafka record; the payload is not touched.

    The inverse of `to_pubsub` when `policy.attributes` is LOSSLESS.

    Args:
      message: data of 0..10_000_000 bytes, at most 100 attributes.
      policy: the topic, which headers to write, where key and partition come from.
      dropped: takes, for each attribute that is left out, a line that says so.
      marker: that of the message (`origins.in_attributes`), where it is known already.
    Returns:
      A record for `policy.topic`, without an offset; unless it is one that was packed into the
      message, its timestamp is the message's publish time.
    Raises:
      UnmappableError: `policy.partition` is `source` and the message does not say one.
    """
    data, attributes, ordering_key, message_id, publish_time_ms, _ = message
    partition = _partition(message) if policy.partition == "source" else None
    headers: list[tuple[str, bytes | None]] = []
    if policy.attributes is _METADATA:
        if attributes:
            headers = _plain(attributes, policy, dropped)
        headers.append((MESSAGE_ID, message_id.encode()))
        if publish_time_ms is not None:
            headers.append((PUBLISH_TIME, b"%d" % publish_time_ms))
        if ordering_key:
            headers.append((ORDERING_KEY, ordering_key.encode()))
    elif policy.attributes is _LOSSLESS:
        packed = lossless.record_in(message)
        if packed is not None:
            return KafkaRecord(policy.topic, partition, None, *packed[3:8], made_from=message)
        headers = lossless.pack_message(message)
    if headers:
        marker = origins.in_attributes(attributes) if marker is None else marker
        if policy.origin:
            marker = origins.extended(marker, policy.origin) if marker else policy.origin
        if marker:
            headers.insert(-1, (ORIGINS, marker.encode()))
    key = _kafka_key(message, policy) if attributes or ordering_key else None
    fields = (
        policy.topic,
        partition,
        None,
        publish_time_ms,
        _CREATE_TIME,
        key,
        data,
        tuple(headers),
        message,
    )
    return _new(KafkaRecord, fields)


# -- with metadata ---------------------------------------------------------------------------------


def _metadata(record: KafkaRecord, dropped: list[str] | None) -> dict[str, str]:
    """Where a record comes from, its key, and the headers that fit, up to 100 attributes; one is
    kept free for the marker of loop safety."""
    attributes = place(record)
    key, value, headers = record[5:8]
    if key is not None:
        unfit = unfit_value(key)
        if not unfit:
            attributes[KEY] = key.decode()
        elif dropped is not None:
            dropped.append(f"the key is left out: {unfit}")
    if value is None and dropped is not None:
        dropped.append("the null value is carried as an empty one")
    if headers:
        plain = plain_headers(headers)
        room = limits.PUBSUB_MAX_ATTRIBUTES - len(attributes) - 1
        if len(plain) < len(headers) and dropped is not None:
            dropped += _left_out(record, plain)
        while len(plain) > room:
            plain.popitem()
            if dropped is not None:
                dropped.append(
                    f"a header is left out: beyond {limits.PUBSUB_MAX_ATTRIBUTES} attributes"
                )
        attributes |= plain
    return attributes


def _left_out(record: KafkaRecord, plain: Mapping[str, str]) -> list[str]:
    """For each header that fits no attribute, why; but for the marker, which is carried on."""
    repeated = repeated_names(record.headers)
    return [
        f"header {name[:80]!r} is left out: "
        + (unfit_name(name) or ("its name is repeated" if name in repeated else unfit_value(value)))
        for name, value in record.headers
        if name not in plain and not (name == ORIGINS and origins.in_headers(((name, value),)))
    ]


def _plain(
    attributes: Mapping[str, str], policy: ToKafkaPolicy, dropped: list[str] | None
) -> list[tuple[str, bytes | None]]:
    """Attributes as headers of the same names, but for the key's, and those that cannot be."""
    headers: list[tuple[str, bytes | None]] = []
    key_carrier = KEY if policy.key == "auto" else None
    for name, value in attributes.items():
        if name in OWN_HEADERS or CUT in name:
            is_marker = name == ORIGINS and origins.in_attributes({name: value})
            if dropped is not None and not is_marker:
                why = (
                    "the bridge's own header" if name in OWN_HEADERS else "a zero byte in its name"
                )
                dropped.append(f"attribute {name[:80]!r} is left out: {why}")
        elif name != key_carrier:
            headers.append((name, value.encode()))
    return headers


# -- keys ------------------------------------------------------------------------------------------


def _ordering_key(record: KafkaRecord, policy: ToPubsubPolicy) -> str:
    if policy.ordering_key == "key" and record.key is None:
        return ""
    if policy.ordering_key == "partition":
        return f"{record.topic}/{record.partition}"
    key = record.key or b""
    if len(key) > limits.PUBSUB_MAX_ORDERING_KEY_BYTES:
        raise UnmappableError(
            f"map {record.name}: the key is {len(key)} bytes, an ordering key's limit is "
            f"{limits.PUBSUB_MAX_ORDERING_KEY_BYTES}",
            "use --ordering_key=partition or none",
        )
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise UnmappableError(
            f"map {record.name}: the key is not UTF-8, and an ordering key has to be",
            "use --ordering_key=partition or none",
        ) from None


def _kafka_key(message: PubsubRecord, policy: ToKafkaPolicy) -> bytes | None:
    key: str | None = None
    with_metadata = policy.attributes is not _NONE
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
            f"map {message.name}: --partition=source, but attribute {PARTITION} {found}",
            "use --partition=key",
        )
    return int(text)
