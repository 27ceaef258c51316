"""What becomes of one message on its way through the bridge, and why; nothing is sent anywhere.

The mapping is the bridge's own. What the other side would refuse after it is told by the rules that
the bridge's writer, its clients and the topic keep: `refusals`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from transforms import lossless, origins
from transforms.attributes import (
    CUT,
    OWN_HEADERS,
    plain_headers,
    repeated_names,
    unfit_name,
    unfit_value,
)
from transforms.errors import PoisonError, UnmappableError
from transforms.kafka.client import ClientName, TopicInfo
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

DEAD_LETTER = "dead letter"
RETURN = "return"
LEFT_OUT = "fields left out"
SPILLS = "spills"
RESTORED = "restored"
FITS = "fits"

KINDS = (DEAD_LETTER, RETURN, LEFT_OUT, SPILLS, RESTORED, FITS)
"""The worst first. A return is dropped; a restored message is what was packed into the other."""

_RETURNS = ("it has been at the destination before",)
_TIMESTAMP_TYPES = {
    TimestampType.LOG_APPEND_TIME: "timestamp: it is the broker's (LogAppendTime)",
    TimestampType.NONE: "timestamp: there is none",
}


class Fate(NamedTuple):
    """What becomes of a message.

    Attributes:
      kind: one of `KINDS`.
      reasons: in words that are the same for messages of the same trouble; none where it fits.
      mapped: what it maps to, even if that would be refused; None where it is not mapped.
    """

    kind: str
    reasons: tuple[str, ...] = ()
    mapped: KafkaRecord | PubsubRecord | None = None


class Destination(NamedTuple):
    """What decides, beside the mapping, what becomes of a record on its way to Kafka.

    Attributes:
      topic: what it admits.
      client: the library that would write.
      now_ms: milliseconds since the epoch, for timestamps that lie ahead.
    """

    topic: TopicInfo
    client: ClientName
    now_ms: int


# -- one message -----------------------------------------------------------------------------------


def of_record(record: KafkaRecord, policy: ToPubsubPolicy, destination: str) -> Fate:
    """What becomes of a Kafka record on its way to Pub/Sub.

    Args:
      record: as it was read: partition and offset are numbers.
      destination: its origin (see `transforms.origins`): what has been there is dropped; empty lets
        everything pass.
    """
    if destination and origins.names(origins.in_headers(record.headers), destination):
        return Fate(RETURN, _RETURNS)
    dropped: list[str] = []
    try:
        message = to_pubsub(record, policy, dropped)
    except UnmappableError as error:
        return refused(error, record.name)
    if dropped:
        return Fate(LEFT_OUT, tuple(dict.fromkeys(dropped)), message)
    if policy.attributes is Attributes.LOSSLESS:
        if lossless.message_in(record) is not None:
            return Fate(RESTORED, ("a packed message",), message)
        if spilled := record_spills(record):
            return Fate(SPILLS, spilled, message)
    return Fate(FITS, (), message)


def of_message(
    message: PubsubRecord, policy: ToKafkaPolicy, origin: str, destination: Destination
) -> Fate:
    """What becomes of a Pub/Sub message on its way to Kafka.

    Args:
      origin: that of the destination, as for `of_record`.
    """
    if origin and origins.names(origins.in_attributes(message.attributes), origin):
        return Fate(RETURN, _RETURNS)
    dropped: list[str] = []
    try:
        record = to_kafka(message, policy, dropped)
    except UnmappableError as error:
        return refused(error, message.name)
    if reasons := refusals(record, destination):
        return Fate(DEAD_LETTER, reasons, record)
    if dropped:
        return Fate(LEFT_OUT, tuple(dict.fromkeys(dropped)), record)
    if policy.attributes is Attributes.LOSSLESS:
        if lossless.record_in(message) is not None:
            return Fate(RESTORED, ("a packed record",), record)
        if spilled := message_spills(message):
            return Fate(SPILLS, spilled, record)
    return Fate(FITS, (), record)


def refused(error: PoisonError, name: str) -> Fate:
    """That of a message with this name: what is wrong, without which message it is about, its own
    numbers, and what to do."""
    what = error.what.removeprefix(f"map {name}: ")
    return Fate(DEAD_LETTER, (_NUMBER.sub("N", what),))


_NUMBER = re.compile(r"(?<!limit is )(?<![-\w])\d+\b")


# -- spills ----------------------------------------------------------------------------------------


def record_spills(record: KafkaRecord) -> tuple[str, ...]:
    """Why fields of a record are JSON in the message that it is packed in, each reason once; none
    where that JSON tells nothing but the order of headers."""
    reasons = []
    if record.key is not None and (unfit := unfit_value(record.key)):
        reasons.append(f"key: {unfit}")
    if record.value is None:
        reasons.append("value: it is null")
    if record.timestamp_type is not TimestampType.CREATE_TIME:
        reasons.append(_TIMESTAMP_TYPES[record.timestamp_type])
    plain, repeated = plain_headers(record.headers), repeated_names(record.headers)
    for name, value in record.headers:
        if name not in plain:
            unfit = unfit_name(name) or ("its name is repeated" if name in repeated else "")
            reasons.append(f"header: {unfit or unfit_value(value)}")
    return tuple(dict.fromkeys(reasons))


def message_spills(message: PubsubRecord) -> tuple[str, ...]:
    """Why attributes of a message are JSON in the record that it is packed in, each reason once."""
    reasons = []
    for name in message.attributes:
        if name in OWN_HEADERS:
            reasons.append("attribute: its name is that of the bridge's own header")
        elif CUT in name:
            reasons.append("attribute: a zero byte is in its name")
    return tuple(dict.fromkeys(reasons))


# -- what Kafka refuses ----------------------------------------------------------------------------


def refusals(record: KafkaRecord, destination: Destination) -> tuple[str, ...]:
    """Why a record cannot be written, by the topic's rules or the client's."""
    topic, client, now_ms = destination
    reasons = []
    if refusal := topic.refusal(record, now_ms):
        reasons.append(refusal)
    if batch_bytes(record) > topic.max_message_bytes:
        reasons.append(
            f"it is over {topic.max_message_bytes:,} bytes, the topic's max.message.bytes"
        )
    if record.partition is not None and record.partition >= topic.partitions:
        reasons.append(f"its partition is not there, the topic has {topic.partitions}")
    if client == "librdkafka":
        if record.timestamp_ms == 0:
            reasons.append("its timestamp is 0, which librdkafka cannot write")
        if any(CUT in name for name, _ in record.headers):
            reasons.append("a zero byte is in a header's name, which librdkafka cannot write")
    elif any(value is None for _, value in record.headers):
        reasons.append("a header is null, which kafka-python cannot write")
    return tuple(reasons)


_BATCH_HEADER_BYTES = 61
_ATTRIBUTES_AND_DELTAS_BYTES = 3


def batch_bytes(record: KafkaRecord) -> int:
    """Bytes of the record batch that holds this record alone, uncompressed: what a topic's
    `max.message.bytes` is about.

    Source: https://kafka.apache.org/documentation/#recordbatch
    """
    size = _ATTRIBUTES_AND_DELTAS_BYTES + _field_bytes(record.key) + _field_bytes(record.value)
    size += _varint_bytes(len(record.headers))
    for name, value in record.headers:
        size += _field_bytes(name.encode("utf-8", "surrogateescape")) + _field_bytes(value)
    return _BATCH_HEADER_BYTES + _varint_bytes(size) + size


def _field_bytes(value: bytes | None) -> int:
    """A length, -1 for null, then the bytes."""
    return 1 if value is None else _varint_bytes(len(value)) + len(value)


def _varint_bytes(number: int) -> int:
    """Of a number from 0 on, in zigzag: one bit for the sign, seven bits a byte."""
    return -(-(number.bit_length() + 1) // 7)
