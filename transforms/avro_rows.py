"""The two records as rows of an Avro container: their schemas, and both ways. No Beam."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.records import KafkaRecord, PubsubRecord, TimestampType

NAMESPACE = "pubsub_kafka_bridge"


def avro_field(name: str, type_: Any, doc: str = "") -> dict[str, Any]:
    """A field of a record's schema."""
    return {"name": name, "type": type_, **({"doc": doc} if doc else {})}


def avro_enum(name: str, *symbols: str) -> dict[str, Any]:
    """An enum's schema."""
    return {"type": "enum", "name": name, "symbols": list(symbols)}


_HEADER = {
    "type": "record",
    "name": "Header",
    "fields": [
        avro_field("name", "bytes", "usually UTF-8"),
        avro_field("value", ["null", "bytes"]),
    ],
}

KAFKA_RECORD = {
    "type": "record",
    "name": "KafkaRecord",
    "namespace": NAMESPACE,
    "fields": [
        avro_field("topic", "string"),
        avro_field("partition", ["null", "int"]),
        avro_field("offset", ["null", "long"]),
        avro_field("timestamp_ms", ["null", "long"], "milliseconds since the epoch"),
        avro_field(
            "timestamp_type", avro_enum("TimestampType", *(kind.name for kind in TimestampType))
        ),
        avro_field("key", ["null", "bytes"]),
        avro_field("value", ["null", "bytes"], "null: a tombstone"),
        avro_field("headers", {"type": "array", "items": _HEADER}, "in order; names may repeat"),
    ],
}

PUBSUB_RECORD = {
    "type": "record",
    "name": "PubsubRecord",
    "namespace": NAMESPACE,
    "fields": [
        avro_field("data", "bytes"),
        avro_field("attributes", {"type": "map", "values": "string"}),
        avro_field("ordering_key", "string", "empty where there is none"),
        avro_field("message_id", "string"),
        avro_field("publish_time_ms", ["null", "long"], "milliseconds since the epoch"),
    ],
}

KAFKA_FIELDS = frozenset(KafkaRecord._fields) - {"made_from"}
PUBSUB_FIELDS = frozenset(PubsubRecord._fields) - {"made_from"}
"""The names of the fields of either."""


def to_row(record: KafkaRecord | PubsubRecord) -> dict[str, Any]:
    """What is written of a record: everything but what it was made from."""
    row = {name: value for name, value in record._asdict().items() if name != "made_from"}
    if isinstance(record, KafkaRecord):
        row["timestamp_type"] = record.timestamp_type.name
        row["headers"] = [
            {"name": name.encode("utf-8", "surrogateescape"), "value": value}
            for name, value in record.headers
        ]
    return row


def to_kafka_record(row: Mapping[str, Any]) -> KafkaRecord:
    """The record of a row; further fields are passed over."""
    fields = {name: row[name] for name in KAFKA_FIELDS}
    fields["timestamp_type"] = TimestampType[fields["timestamp_type"]]
    fields["headers"] = tuple(
        (header["name"].decode("utf-8", "surrogateescape"), header["value"])
        for header in fields["headers"]
    )
    return KafkaRecord(**fields)


def to_pubsub_record(row: Mapping[str, Any]) -> PubsubRecord:
    """The message of a row; further fields are passed over."""
    return PubsubRecord(**{name: row[name] for name in PUBSUB_FIELDS})
