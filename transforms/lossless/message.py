"""A whole Pub/Sub message as headers of a Kafka record, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from transforms import limits
from transforms.attributes import (
    CUT,
    MESSAGE,
    MESSAGE_ID,
    ORDERING_KEY,
    ORIGINS,
    OWN_HEADERS,
    PUBLISH_TIME,
    size_bytes,
)
from transforms.lossless.text import MALFORMED, VERSION, number, parsed, to_json
from transforms.records import KafkaRecord, PubsubRecord, TimestampType


def pack_message(message: PubsubRecord) -> list[tuple[str, bytes | None]]:
    """The headers that hold all of a message but its data: attributes sorted by name, then ours;
    `bridge.message` stands last."""
    headers: list[tuple[str, bytes | None]] = []
    spilled: dict[str, str] = {}
    for name in sorted(message.attributes):
        if name in OWN_HEADERS or CUT in name:
            spilled[name] = message.attributes[name]
        else:
            headers.append((name, message.attributes[name].encode()))
    headers.append((MESSAGE_ID, message.message_id.encode()))
    if message.publish_time_ms is not None:
        headers.append((PUBLISH_TIME, str(message.publish_time_ms).encode()))
    if message.ordering_key:
        headers.append((ORDERING_KEY, message.ordering_key.encode()))
    headers.append((MESSAGE, _rest_of_message(spilled)))
    return headers


def unpack_message(record: KafkaRecord) -> PubsubRecord | None:
    """The message that packs to this record, with its own id and time; None if none does."""
    if not record.headers or record.headers[-1][0] != MESSAGE:
        return None
    try:
        message = _unpack_message(record)
    except MALFORMED:
        return None
    dated = (
        record.timestamp_ms == message.publish_time_ms
        or record.timestamp_type is TimestampType.LOG_APPEND_TIME
    )
    return message if dated and _is_publishable(message) else None


def _unpack_message(record: KafkaRecord) -> PubsubRecord:
    """Raises one of `MALFORMED` unless the message packs to this record's headers."""
    headers: list[Any] = [header for header in record.headers if header[0] != ORIGINS]
    rest = headers.pop()[1]
    ordering_key = headers.pop()[1].decode() if headers[-1][0] == ORDERING_KEY else None
    published = headers.pop()[1].decode() if headers[-1][0] == PUBLISH_TIME else None
    id_name, message_id = headers.pop()
    attributes: dict[str, str] = {}
    last = ""
    for name, value in headers:
        if name <= last or name in OWN_HEADERS or CUT in name:
            raise ValueError
        attributes[name] = value.decode()
        last = name
    spilled: dict[str, str] = {}
    if rest != _NOTHING_SPILLED:
        spilled = parsed(rest.decode())["attributes"]
        odd = {name for name in spilled if CUT not in name}
        if rest != _rest_of_message(spilled) or not odd <= OWN_HEADERS:
            raise ValueError
    keys = {*attributes.values(), *spilled.values(), ordering_key}
    derived = record.key is None or record.key.decode() in keys
    if id_name != MESSAGE_ID or ordering_key == "" or record.value is None or not derived:
        raise ValueError
    return PubsubRecord(
        record.value,
        attributes | spilled,
        ordering_key or "",
        message_id.decode(),
        None if published is None else number(published),
    )


def _rest_of_message(spilled: Mapping[str, str]) -> bytes:
    """JSON of the attributes whose names are headers of ours, or cannot be a header's."""
    if not spilled:
        return _NOTHING_SPILLED
    return to_json({"v": VERSION, "attributes": dict(sorted(spilled.items()))}).encode()


_NOTHING_SPILLED = to_json({"v": VERSION}).encode()


def _is_publishable(message: PubsubRecord) -> bool:
    """Whether Pub/Sub would take a message, by its limits."""
    attributes = message.attributes
    return (
        (bool(message.data) or bool(attributes))
        and len(attributes) <= limits.PUBSUB_MAX_ATTRIBUTES
        and len(message.ordering_key.encode()) <= limits.PUBSUB_MAX_ORDERING_KEY_BYTES
        and size_bytes(message) <= limits.PUBSUB_MAX_MESSAGE_BYTES
        and _longest(attributes) <= limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES
        and _longest(attributes.values()) <= limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES
    )


def _longest(texts: Iterable[str]) -> int:
    """UTF-8 bytes of the longest one; cheap where no text is long."""
    characters = max(map(len, texts), default=0)
    return characters if characters < 64 else max(len(text.encode()) for text in texts)
