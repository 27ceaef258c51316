"""A whole Kafka record as attributes of a Pub/Sub message, and back."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from transforms import limits
from transforms.attributes import (
    KEY,
    OFFSET,
    ORIGINS,
    OWN_ATTRIBUTES,
    PARTITION,
    RECORD,
    TIMESTAMP,
    TOPIC,
    is_utf8,
    place,
    plain_headers,
    unfit_name,
    unfit_value,
)
from transforms.errors import UnmappableError
from transforms.lossless.text import (
    MALFORMED,
    VERSION,
    cut,
    from_readable,
    number,
    parsed,
    readable,
    to_json,
)
from transforms.records import Headers, KafkaRecord, PubsubRecord, TimestampType

_NAME_BYTES = limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES
_PIECE_BYTES = limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES
_TIMESTAMP_TYPES = {
    TimestampType.LOG_APPEND_TIME: "LogAppendTime",
    TimestampType.NONE: "NoTimestampType",
}
"""What is written of a timestamp's type: Java's names. CreateTime goes without saying."""


def pack_record(record: KafkaRecord) -> dict[str, str]:
    """The attributes that hold all of a record but its value.

    Args:
      record: as it was read: partition and offset are numbers.
    Raises:
      UnmappableError: a header's name is not UTF-8, or they are more than 100 attributes of 1024
        bytes; one is kept free for the marker of loop safety.
    """
    attributes = place(record)
    spilled: dict[str, Any] = {}
    if record.key is not None:
        if unfit_value(record.key):
            spilled["key"] = readable(record.key)
        else:
            attributes[KEY] = record.key.decode()
    if record.value is None:
        spilled["value"] = None
    if record.timestamp_type is not TimestampType.CREATE_TIME:
        spilled["timestamp_type"] = _TIMESTAMP_TYPES[record.timestamp_type]
    plain = plain_headers(record.headers)
    if len(plain) < len(record.headers) and not all(is_utf8(name) for name, _ in record.headers):
        raise UnmappableError(
            f"map {record.name}: a header's name is not UTF-8, which an attribute's has to be",
            "use --attributes=metadata, which leaves it out",
        )
    pieces = cut(_spill(spilled, record.headers, plain), _PIECE_BYTES)
    needed = len(attributes) + len(plain) + len(pieces) + 1
    if needed > limits.PUBSUB_MAX_ATTRIBUTES:
        raise UnmappableError(
            f"map {record.name}: all of it takes {needed} attributes, the marker of loop safety "
            f"included, Pub/Sub's limit is {limits.PUBSUB_MAX_ATTRIBUTES} (what is not plain takes "
            f"one for each {_PIECE_BYTES} bytes)",
            "use --attributes=metadata, which leaves out what does not fit",
        )
    attributes |= plain
    attributes[RECORD] = pieces[0]
    for order, piece in enumerate(pieces[1:], 1):
        attributes[f"{RECORD}.{order}"] = piece
    return attributes


def unpack_record(message: PubsubRecord) -> KafkaRecord | None:
    """The record that packs to this message, at the place where it was read; None if none does."""
    if RECORD not in message.attributes:
        return None
    try:
        record = _plain_record(message.attributes, message.data)
        if record is None:
            attributes = _without_hops(message.attributes)
            record = _unpack_record(attributes, message.data)
            if pack_record(record) != attributes or (record.value or b"") != message.data:
                return None
    except MALFORMED:
        return None
    derived = ("", f"{record.topic}/{record.partition}")
    if message.ordering_key in derived or message.ordering_key.encode() == record.key:
        return record
    return None


def _spill(spilled: Mapping[str, Any], headers: Headers, plain: Mapping[str, str]) -> str:
    """JSON of what is not plain, and of the order of headers where sorting does not give it."""
    if not spilled and len(plain) == len(headers) <= limits.PUBSUB_MAX_ATTRIBUTES:
        return _order(tuple(plain))
    content = {"v": VERSION, **spilled}
    ranks = {name: rank for rank, name in enumerate(sorted(plain))}
    entries = [
        ranks[name] if name in ranks else [name, None if value is None else readable(value)]
        for name, value in headers
    ]
    if entries != list(range(len(plain))):
        content["headers"] = entries
    return to_json(content)


@lru_cache(maxsize=256)
def _order(names: tuple[str, ...]) -> str:
    """The spill of a record with nothing but plain headers of these names."""
    ranks = {name: rank for rank, name in enumerate(sorted(names))}
    return _order_text([ranks[name] for name in names])


def _order_text(ranks: list[int]) -> str:
    in_order = ranks == sorted(ranks)
    return to_json({"v": VERSION} if in_order else {"v": VERSION, "headers": ranks})


@lru_cache(maxsize=256)
def _ranks(text: str, count: int) -> tuple[int, ...] | None:
    """The order of so many plain headers that a spill tells; None where it tells more than that."""
    ranks = parsed(text).get("headers", list(range(count)))
    if not all(type(rank) is int for rank in ranks) or sorted(ranks) != list(range(count)):
        return None
    return tuple(ranks) if text == _order_text(ranks) else None


def _plain_record(attributes: Mapping[str, str], data: bytes) -> KafkaRecord | None:
    """A record of nothing but plain fields, as most are, taken apart the short way; None leaves it
    to the thorough way, which packs it again to compare."""
    if f"{RECORD}.1" in attributes or len(attributes) >= limits.PUBSUB_MAX_ATTRIBUTES:
        return None
    names = sorted([name for name in attributes if name not in OWN_ATTRIBUTES])
    ranks = _ranks(attributes[RECORD], len(names))
    if ranks is None:
        return None
    headers = []
    for rank in ranks:
        name = names[rank]
        value = attributes[name].encode()
        if len(name) > _NAME_BYTES or len(value) > _PIECE_BYTES or unfit_name(name):
            return None
        headers.append((name, value))
    timestamp = attributes.get(TIMESTAMP)
    key = attributes[KEY].encode() if KEY in attributes else None
    if key is not None and len(key) > _PIECE_BYTES:
        return None
    return KafkaRecord(
        attributes[TOPIC],
        number(attributes[PARTITION]),
        number(attributes[OFFSET]),
        None if timestamp is None else number(timestamp),
        TimestampType.CREATE_TIME,
        key,
        data,
        tuple(headers),
    )


def _unpack_record(attributes: Mapping[str, str], data: bytes) -> KafkaRecord:
    """Raises one of `MALFORMED`, or returns something that may not pack to these attributes."""
    plain = dict(attributes)
    pieces = [plain.pop(RECORD)]
    while (piece := plain.pop(f"{RECORD}.{len(pieces)}", None)) is not None:
        pieces.append(piece)
    content = parsed("".join(pieces))
    topic, partition, offset = plain.pop(TOPIC), plain.pop(PARTITION), plain.pop(OFFSET)
    timestamp = plain.pop(TIMESTAMP, None)
    key = plain.pop(KEY).encode() if KEY in plain else None
    if "key" in content:
        key = from_readable(content["key"])
    names = sorted(plain)
    headers: list[tuple[str, bytes | None]] = []
    for entry in content.get("headers", range(len(names))):
        if isinstance(entry, int):
            headers.append((names[entry], plain[names[entry]].encode()))
        else:
            name, value = entry
            headers.append((name, None if value is None else from_readable(value)))
    return KafkaRecord(
        topic,
        number(partition),
        number(offset),
        None if timestamp is None else number(timestamp),
        _TYPES_BY_NAME[content.get("timestamp_type", "")],
        key,
        None if "value" in content else data,
        tuple(headers),
    )


_TYPES_BY_NAME = {"": TimestampType.CREATE_TIME} | {n: t for t, n in _TIMESTAMP_TYPES.items()}


def _without_hops(attributes: Mapping[str, str]) -> dict[str, str]:
    """All but the marker of loop safety, and what Pub/Sub and its clients add on their own."""
    return {
        name: value
        for name, value in attributes.items()
        if name != ORIGINS and not name.startswith(limits.PUBSUB_RESERVED_ATTRIBUTE_PREFIX)
    }
