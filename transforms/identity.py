"""What a message is known by on the other side: its place in Kafka, its id, its content. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from transforms import limits, lossless
from transforms.records import KafkaRecord, PubsubRecord

HASHED = 1 << 63
"""This bit of a key says that the rest is a hash, not a number that the service gave."""

_MOST_DIGITS = 18
"""Numbers of so many digits are below `HASHED`."""


def number(text: str | bytes) -> int:
    """A decimal number as the bridge writes it; -1 for everything else."""
    if not 0 < len(text) <= _MOST_DIGITS or not text.isascii() or not text.isdigit():
        return -1
    if text[:1] in ("0", b"0") and len(text) > 1:
        return -1
    return int(text)


def key_of_id(message_id: str) -> int:
    """64 bits for a message id: the number that it is as a rule, else a hash."""
    found = number(message_id)
    return found if found >= 0 else _hashed(b"id", [message_id.encode("utf-8", "replace")])


def id_of_key(key: int) -> str:
    """The message id of `key_of_id`; of one that is no number, only its hash."""
    return f"hash:{key ^ HASHED:016x}" if key & HASHED else str(key)


def key_of_message(message: PubsubRecord) -> int:
    """64 bits for what a message holds: data, attributes, ordering key; without its id and time."""
    parts = [message.data, message.ordering_key.encode()]
    for name in sorted(message.attributes):
        if not name.startswith(limits.PUBSUB_RESERVED_ATTRIBUTE_PREFIX):
            parts += [name.encode(), message.attributes[name].encode()]
    return _hashed(b"message", parts)


def key_of_record(record: KafkaRecord) -> int:
    """64 bits for what a record holds: key, value, headers; of a packed message, that message."""
    packed = lossless.message_in(record)
    if packed is not None:
        return key_of_message(packed)
    parts = [record.key, record.value]
    for name, value in record.headers:
        parts += [name.encode("utf-8", "surrogateescape"), value]
    return _hashed(b"record", parts)


def _hashed(kind: bytes, parts: Iterable[bytes | None]) -> int:
    digest = blake2b(digest_size=8, person=kind)
    for part in parts:
        digest.update(b"-" if part is None else b"%d:" % len(part))
        digest.update(part or b"")
    return int.from_bytes(digest.digest(), "big") | HASHED
