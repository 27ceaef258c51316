"""Dead letters as Avro: an inverse pair, and nothing damaged or foreign is taken for one."""

from __future__ import annotations

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.dead_letter import DeadLetter
from transforms.dead_letters.avro import from_avro, one_from_avro, to_avro
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

LONG = st.integers(-(2**63), 2**63 - 1)
BYTES = st.binary(max_size=40)
HEADER_NAMES = BYTES.map(lambda name: name.decode("utf-8", "surrogateescape"))

KAFKA_RECORDS = st.builds(
    KafkaRecord,
    topic=st.text(),
    partition=st.none() | st.integers(0, 2**31 - 1),
    offset=st.none() | LONG,
    timestamp_ms=st.none() | LONG,
    timestamp_type=st.sampled_from(TimestampType),
    key=st.none() | BYTES,
    value=st.none() | BYTES,
    headers=st.lists(st.tuples(HEADER_NAMES, st.none() | BYTES)).map(tuple),
)
PUBSUB_RECORDS = st.builds(
    PubsubRecord,
    data=BYTES,
    attributes=st.dictionaries(st.text(), st.text()),
    ordering_key=st.text(),
    message_id=st.text(),
    publish_time_ms=st.none() | LONG,
)
LETTERS = st.builds(
    DeadLetter,
    original=KAFKA_RECORDS | PUBSUB_RECORDS,
    direction=st.sampled_from(["kafka_to_ps", "ps_to_kafka"]),
    stage=st.sampled_from(["map", "write"]),
    error_class=st.text(),
    error=st.text(),
    failed_at_ms=LONG,
    attempts=LONG,
    bridge_version=st.text(),
)
KAFKA = KafkaRecord("alerts", 0, 17, 5, key=b"\xff", value=None, headers=(("h", None),) * 2)
LETTER = DeadLetter(KAFKA, "kafka_to_ps", "map", "UnmappableError", "too large", 1, 1, "0.1.0")


@given(st.lists(LETTERS, min_size=1, max_size=5), st.sampled_from(["null", "deflate"]))
def test_every_letter_is_read_as_it_was_written(letters, codec):
    read = from_avro(to_avro(letters, codec))
    assert read == letters
    assert [type(letter.original) for letter in read] == [type(a.original) for a in letters]


def test_any_avro_tool_reads_it():
    [row] = fastavro.reader(io.BytesIO(to_avro([LETTER])))
    assert row["version"] == 1
    assert row["original"]["headers"] == [{"name": b"h", "value": None}] * 2
    assert row["original"]["timestamp_type"] == "CREATE_TIME"
    assert row["error"] == "too large"


def test_an_error_that_is_no_unicode_is_kept_readable():
    letter = LETTER._replace(error="bad \udcff\ud800 name")
    assert one_from_avro(to_avro([letter])).error == r"bad \udcff\ud800 name"


def test_what_was_cut_off_anywhere_is_refused():
    for codec in ("null", "deflate"):
        whole = to_avro([LETTER] * 3, codec)
        for length in range(len(whole)):
            with pytest.raises(ValueError, match=r"no Avro container|no letters"):
                from_avro(whole[:length])


def test_what_is_foreign_is_refused():
    foreign = io.BytesIO()
    fastavro.writer(foreign, {"type": "record", "name": "DeadLetter", "fields": []}, [{}])
    for data, reason in (
        (b"", "no Avro container"),
        (b"garbage", "no Avro container"),
        (to_avro([LETTER]) + b"more", "damaged"),
        (foreign.getvalue(), "schema"),
    ):
        with pytest.raises(ValueError, match=reason):
            from_avro(data)
    with pytest.raises(ValueError, match="2 letters"):
        one_from_avro(to_avro([LETTER] * 2))
