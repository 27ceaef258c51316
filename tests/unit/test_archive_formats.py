"""What is in an archive's files: Avro as fastavro writes it, and JSON Lines for people."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import threading
import time

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms import filesystem
from transforms.archive import files
from transforms.archive.avro import AvroFormat, encode_kafka, encode_pubsub
from transforms.archive.json_lines import JsonFormat
from transforms.avro_rows import KAFKA_RECORD, PUBSUB_RECORD, to_row
from transforms.errors import DeliveryError, UnavailableError
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

LONG = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 200)
SIZES = st.sampled_from([0, 1, 63, 64, 8191, 8192, 8193])
BYTES = st.binary(max_size=20) | SIZES.map(bytes)
HEADER_NAMES = st.binary(max_size=20).map(lambda name: name.decode("utf-8", "surrogateescape"))
OFFSETS = st.integers(0, 2**63 - 1) | st.sampled_from([0, 63, 64, 127, 128, 8191, 8192, 2**63 - 1])


@st.composite
def of_one_partition(draw):
    topic, partition = draw(st.text(min_size=1)), draw(st.integers(0, 2**31 - 1))
    return [
        KafkaRecord(
            topic,
            partition,
            offset,
            draw(st.none() | LONG),
            draw(st.sampled_from(TimestampType)),
            draw(st.none() | BYTES),
            draw(st.none() | BYTES),
            tuple(draw(st.lists(st.tuples(HEADER_NAMES, st.none() | BYTES), max_size=3))),
        )
        for offset in draw(st.lists(OFFSETS, min_size=1, max_size=5))
    ]


MESSAGES = st.builds(
    PubsubRecord,
    data=BYTES,
    attributes=st.dictionaries(st.text(), st.text(), max_size=3),
    ordering_key=st.text(),
    message_id=st.text(),
    publish_time_ms=st.none() | LONG,
)


def by_fastavro(schema, records) -> bytes:
    written = io.BytesIO()
    for record in records:
        fastavro.schemaless_writer(written, fastavro.parse_schema(schema), to_row(record))
    return written.getvalue()


@given(of_one_partition())
def test_kafka_records_are_the_bytes_that_fastavro_writes(records):
    encoded = encode_kafka(records)
    assert encoded.data == by_fastavro(KAFKA_RECORD, records)
    assert encoded[1:] == (len(records), sum(record.payload_bytes for record in records))


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_messages_are_the_bytes_that_fastavro_writes(messages):
    encoded = encode_pubsub(messages)
    assert encoded.data == by_fastavro(PUBSUB_RECORD, messages)
    assert encoded[1:] == (len(messages), sum(message.payload_bytes for message in messages))


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "none"])
def test_a_container_of_blocks_is_read_by_fastavro(codec):
    kept = AvroFormat(codec)
    records = [KafkaRecord("t", 1, n, n, value=b"%d" % n) for n in range(100)]
    blocks = [kept.block(kept.encode(records[n : n + 10])) for n in range(0, 100, 10)]
    container = b"".join((kept.header(KafkaRecord), *blocks))
    assert list(fastavro.reader(io.BytesIO(container))) == [to_row(record) for record in records]


def lines(records, topic="news", codec="none", registry=None):
    kept = JsonFormat(codec, topic, registry)
    return [json.loads(line) for line in kept.encode(records).data.splitlines()]


def test_a_line_is_for_people():
    record = KafkaRecord(
        "alerts", 3, 1042, 1795219199999, key=b"k", value=b'{"mag": 18}', headers=(("h", b"1"),)
    )
    message = PubsubRecord("grüß".encode(), {"a": "b"}, "key", "81", 1795219199999)
    assert lines([record]) == [
        {
            "topic": "alerts",
            "partition": 3,
            "offset": 1042,
            "timestamp": "2026-11-20T23:59:59.999Z",
            "timestamp_ms": 1795219199999,
            "timestamp_type": "CREATE_TIME",
            "key": "k",
            "headers": [["h", "1"]],
            "value": {"mag": 18},
        }
    ]
    assert lines([message]) == [
        {
            "topic": "news",
            "message_id": "81",
            "publish_time": "2026-11-20T23:59:59.999Z",
            "publish_time_ms": 1795219199999,
            "ordering_key": "key",
            "attributes": {"a": "b"},
            "value": "grüß",
        }
    ]


def test_what_is_no_text_is_base64_and_what_is_null_is_null():
    binary = base64.b64encode(b"\xff\x00").decode()
    record = KafkaRecord("t", 0, 0, key=b"\xff\x00", value=b"\xff\x00", headers=(("h", None),))
    (line,) = lines([record])
    assert (line["key_base64"], line["value_base64"]) == (binary, binary)
    assert line["headers"] == [["h", None]]
    (line,) = lines([KafkaRecord("t", 0, 0)])
    assert (line["key"], line["value"], line["timestamp"]) == (None, None, None)
    (line,) = lines([KafkaRecord("t", 0, 0, 2**62)])
    assert (line["timestamp"], line["timestamp_ms"]) == (None, 2**62)


def test_a_read_that_is_given_up_takes_nothing_from_the_one_that_is_tried_again(
    tmp_path, monkeypatch
):
    """It may go on in its thread, for as long as the storage stalls."""
    form = AvroFormat("none")
    records = [KafkaRecord("t", 0, n, 1000, value=os.urandom(5_000)) for n in range(2_000)]
    path = tmp_path / "file.avro"
    blocks = [form.block(form.encode(records[at : at + 100])) for at in range(0, 2_000, 100)]
    path.write_bytes(form.header(KafkaRecord) + b"".join(blocks))
    open_read, stalls = filesystem.open_read, iter([False, True])
    reading = threading.Lock()

    class Stalling:
        def __init__(self, name):
            self._file = open_read(name)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def read(self, size):
            with reading:
                if next(stalls, False):
                    time.sleep(1)
                return self._file.read(size)

    monkeypatch.setattr(filesystem, "open_read", Stalling)

    def ask(operation, name, call):
        while True:
            with contextlib.suppress(UnavailableError):
                return filesystem.ask(UnavailableError, operation, name, call, 0.3)

    assert sum(len(block) for block in files.read(str(path), ask)) == 2_000


def test_an_avro_container_is_what_it_says():
    packet = io.BytesIO()
    schema = {"type": "record", "name": "P", "fields": [{"name": "mag", "type": "double"}]}
    fastavro.writer(packet, schema, [{"mag": 18.5}])
    (line,) = lines([KafkaRecord("t", 0, 0, value=packet.getvalue())])
    assert line["value"] == {"mag": 18.5}


@given(of_one_partition())
@example([KafkaRecord("t", 0, 0, -(2**63), headers=(("\udcff", b"\xff"),))])
def test_every_record_is_one_line(records):
    assert [line["offset"] for line in lines(records)] == [record.offset for record in records]


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_every_message_is_one_line(messages):
    ids = [line["message_id"] for line in lines(messages)]
    assert ids == [message.message_id for message in messages]


def test_a_registry_that_does_not_answer_is_asked_again():
    from transforms.schema_registry import SchemaRegistry

    registry = SchemaRegistry("http://127.0.0.1:1")
    with pytest.raises(DeliveryError):
        lines([KafkaRecord("t", 0, 0, value=b"\0\0\0\0\1abc")], registry=registry)
