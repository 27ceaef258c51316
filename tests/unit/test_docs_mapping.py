"""The worked examples of docs/mapping.md are what the mapping does."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"
EXAMPLES = [
    json.loads(block)
    for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
]
TYPES = {None: TimestampType.CREATE_TIME, "LogAppendTime": TimestampType.LOG_APPEND_TIME}


def as_bytes(value) -> bytes | None:
    if value is None:
        return None
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def as_record(example) -> KafkaRecord:
    return KafkaRecord(
        example.get("topic", "t"),
        example.get("partition"),
        example.get("offset"),
        example["timestamp_ms"],
        TYPES[example.get("timestamp_type")],
        as_bytes(example.get("key")),
        as_bytes(example["value"]),
        tuple((name, as_bytes(value)) for name, value in example.get("headers", ())),
    )


def as_message(example) -> PubsubRecord:
    return PubsubRecord(
        example["data"].encode(),
        example["attributes"],
        example.get("ordering_key", ""),
        example.get("message_id", ""),
        example.get("publish_time_ms"),
    )


def test_the_page_has_examples():
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["record"]["value"] or "tombstone")
def test_an_example_is_what_the_mapping_does_both_ways(example):
    record, message = as_record(example["record"]), as_message(example["message"])
    there, back = ToPubsubPolicy(Attributes.LOSSLESS), ToKafkaPolicy("t", Attributes.LOSSLESS)
    if next(iter(example)) == "record":
        assert to_pubsub(record, there) == message
        assert to_kafka(message, back)[3:8] == record[3:8]
    else:
        assert to_kafka(message, back) == record
        read = record._replace(partition=0, offset=0)
        assert to_pubsub(read, there)[:3] == message[:3]
