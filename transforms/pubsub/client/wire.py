"""Publish requests in protobuf's wire format, written without protobuf's objects.

    message PublishRequest { string topic = 1; repeated PubsubMessage messages = 2; }
    message PubsubMessage {
      bytes data = 1; map<string, string> attributes = 2; string ordering_key = 5; ...
    }

An object for each message and a map for its attributes take some 5 us, these bytes 1 us. What they
say is the same: `tests/unit/test_wire.py` has protobuf read them.

Source: google/pubsub/v1/pubsub.proto; https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from transforms.records import PubsubRecord

Wire = tuple[bytes, bytes, bytes]
"""One message as an entry of `messages`: its lengths, its data, all else. The data are those of the
record, not copied."""

_TOPIC = b"\x0a"
_MESSAGES = b"\x12"
_DATA = b"\x0a"
_ATTRIBUTES = b"\x12"
_NAME = b"\x0a"
_VALUE = b"\x12"
_ORDERING_KEY = b"\x2a"


def to_wire(record: PubsubRecord) -> Wire:
    """A message to be published: data, attributes and ordering key, empty ones left out."""
    data, attributes, ordering_key, _, _, _ = record
    tail = _entries(attributes) if attributes else b""
    if ordering_key:
        tail += _ORDERING_KEY + _text(ordering_key)
    if not data:
        return _MESSAGES + _varint(len(tail)), b"", tail
    before = _DATA + _varint(len(data))
    return _MESSAGES + _varint(len(before) + len(data) + len(tail)) + before, data, tail


def size_bytes(message: Wire) -> int:
    """What a message adds to a request."""
    return len(message[0]) + len(message[1]) + len(message[2])


def request(topic: str, messages: Iterable[Wire]) -> bytes:
    """A publish request."""
    return b"".join(chain((_TOPIC, _text(topic)), chain.from_iterable(messages)))


def _entries(attributes: Mapping[str, str]) -> bytes:
    """The attributes; of each name the last value is kept, since most of them come again."""
    entries = []
    known = _last.get
    for name, value in attributes.items():
        last = known(name, _NONE)
        if last[0] == value:
            entries.append(last[1])
            continue
        encoded = value.encode()
        size = len(encoded)
        before = last[3] if last[2] == size else _before(name, size)
        entry = before + encoded
        if last is _NONE and len(_last) >= _NAMES:
            _last.clear()
        _last[name] = value, entry, size, before  # whole: several threads write
        entries.append(entry)
    return b"".join(entries)


def _before(name: str, size: int) -> bytes:
    """What comes before a value of so many bytes."""
    framed = b"".join((_NAME, _text(name), _VALUE, _varint(size)))
    return b"".join((_ATTRIBUTES, _varint(len(framed) + size), framed))


_NAMES = 1_000
_Last = tuple[str | None, bytes, int, bytes]
"""A value, its entry, its size, and what of the entry comes before it, which depends on the size.
"""

_NONE: _Last = None, b"", -1, b""

_last: dict[str, _Last] = {}
"""By name."""


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    return _VARINTS[number] if number < len(_VARINTS) else _longer(number)


def _longer(number: int) -> bytes:
    low = []
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*low, number])


_VARINTS = [_longer(number) for number in range(2_048)]
