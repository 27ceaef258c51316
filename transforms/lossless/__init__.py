"""A whole Kafka record in a Pub/Sub message, and a whole Pub/Sub message in a Kafka record.

What fits an attribute or header is one; the rest is JSON in attributes `bridge.record`,
`bridge.record.1`, ... or in the header `bridge.message`: docs/mapping.md has the format, with
examples. Both are versioned, and readable without this project.

A message is taken for a packed record only if packing gives that very message again, so that
nothing which merely looks like one is changed. And only if that record would have been packed: one
that holds a packed message would not. By these two rules `record_in` and `message_in` are inverse
to packing on both sides; each step of their recursion takes a layer off, so that it ends.

Where a message comes from, and what derives from it (`kafka.topic`, `kafka.partition`,
`kafka.offset`, `pubsub.messageId`, `pubsub.publishTime`, the marker of loop safety; the ordering
key of a record, the key and timestamp of a message) describes a hop, and is made anew by the next.
"""

from __future__ import annotations

from transforms.lossless.message import pack_message, unpack_message
from transforms.lossless.record import pack_record, unpack_record
from transforms.records import KafkaRecord, PubsubRecord

__all__ = ["message_in", "pack_message", "pack_record", "record_in"]


def record_in(message: PubsubRecord) -> KafkaRecord | None:
    """The record that was packed into a message, at the place where it was read; else None."""
    record = unpack_record(message)
    return None if record is None or message_in(record) is not None else record


def message_in(record: KafkaRecord) -> PubsubRecord | None:
    """The message that was packed into a record, with its own id and time; else None."""
    message = unpack_message(record)
    return None if message is None or record_in(message) is not None else message
