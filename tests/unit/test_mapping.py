"""The mapping: what travels, what is left out, what cannot be carried; each limit at -1, 0, +1."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import limits
from transforms.attributes import size_bytes
from transforms.errors import UnmappableError
from transforms.mapping import (
    Attributes,
    ToKafkaPolicy,
    ToPubsubPolicy,
    to_kafka,
    to_pubsub,
)
from transforms.records import KafkaRecord, PubsubRecord

NONE = ToPubsubPolicy(Attributes.NONE)
METADATA = ToPubsubPolicy(Attributes.METADATA)


def kafka(**fields) -> KafkaRecord:
    return KafkaRecord(
        **{"topic": "t", "partition": 3, "offset": 42, "timestamp_ms": 17, "value": b"v"} | fields
    )


headers = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "goog.x", "key", "kafka.topic", "", "é" * 129])
        | st.text(st.characters(codec="utf-8"), max_size=300),
        st.none() | st.binary(max_size=1100) | st.just(b"x" * 1024),
    ),
    max_size=120,
).map(tuple)
kafka_records = st.builds(
    KafkaRecord,
    topic=st.just("t"),
    partition=st.integers(0, 99),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.none() | st.integers(0, 2**41),
    key=st.none() | st.binary(max_size=1200),
    value=st.binary(max_size=200),
    headers=headers,
)
attribute_text = st.text(st.characters(codec="utf-8"), max_size=50)
pubsub_records = st.builds(
    PubsubRecord,
    data=st.binary(max_size=200),
    attributes=st.dictionaries(attribute_text.filter(bool), attribute_text, max_size=20),
    ordering_key=attribute_text,
    message_id=st.text("0123456789", min_size=1, max_size=20),
    publish_time_ms=st.integers(0, 2**41),
)


@given(kafka_records)
def test_every_mapped_record_is_within_pubsubs_limits_and_accounts_for_every_field(record):
    dropped: list[str] = []
    message = to_pubsub(record, METADATA, dropped)
    assert message.data == record.value
    assert len(message.attributes) <= limits.PUBSUB_MAX_ATTRIBUTES
    for name, value in message.attributes.items():
        assert 0 < len(name.encode()) <= limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES
        assert len(value.encode()) <= limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES
        assert not name.startswith("goog")
    carried = len(message.attributes) - 3 - (record.timestamp_ms is not None)
    assert carried + len(dropped) == len(record.headers) + (record.key is not None)


@given(pubsub_records)
def test_every_attribute_becomes_a_header_of_the_same_name(message):
    dropped: list[str] = []
    record = to_kafka(message, ToKafkaPolicy("t", key="none"), dropped)
    assert record.value == message.data
    found = dict(record.headers)
    for name, value in message.attributes.items():
        assert found.get(name) == value.encode() or any(
            f"attribute {name!r} " in d for d in dropped
        )
    assert found["pubsub.messageId"] == message.message_id.encode()
    assert found["pubsub.publishTime"] == str(message.publish_time_ms).encode()
    assert found.get("pubsub.orderingKey", b"") == message.ordering_key.encode()
    assert len(found) == len(record.headers)


@given(st.none() | st.binary(max_size=1100), st.binary(max_size=300))
def test_key_and_value_survive_there_and_back_or_the_key_is_reported(key, value):
    dropped: list[str] = []
    back = to_kafka(to_pubsub(kafka(key=key, value=value), METADATA, dropped), ToKafkaPolicy("u"))
    assert back.value == value
    assert back.key == (None if dropped else key)


def test_metadata_attributes_have_the_names_of_googles_connector():
    message = to_pubsub(kafka(key=b"k", headers=(("h", b"x"),)), METADATA)
    assert message.attributes == {
        "kafka.topic": "t",
        "kafka.partition": "3",
        "kafka.offset": "42",
        "kafka.timestamp": "17",
        "key": "k",
        "h": "x",
    }


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        (("n" * 256, b""), True),
        (("n" * 257, b""), False),
        (("é" * 128, b""), True),
        (("é" * 129, b""), False),
        (("n", b"v" * 1024), True),
        (("n", b"v" * 1025), False),
        (("n", b"\xff"), False),
        (("n", None), False),
        (("", b"v"), False),
        (("googclient_x", b"v"), False),
        (("kafka.offset", b"v"), False),
        (("key", b"v"), False),
        (("Topic", b"v"), True),
    ],
)
def test_a_header_is_an_attribute_exactly_when_it_fits_one(header, fits):
    dropped: list[str] = []
    message = to_pubsub(kafka(headers=(header,)), METADATA, dropped)
    assert (len(message.attributes) == 5) is fits
    assert len(dropped) == (not fits)
    assert message.attributes["kafka.offset"] == "42"


def test_a_repeated_header_is_left_out_whole_and_so_is_what_passes_100_attributes():
    dropped: list[str] = []
    repeated = (("a", b"1"), ("b", b"2"), ("a", b"3"))
    assert "a" not in to_pubsub(kafka(headers=repeated), METADATA, dropped).attributes
    assert len(dropped) == 2
    dropped.clear()
    marked = ToPubsubPolicy(Attributes.METADATA, cluster_id="c")
    many = tuple((f"h{i}", b"") for i in range(96))
    assert len(to_pubsub(kafka(headers=many[:95]), marked, dropped).attributes) == 100
    assert not dropped
    assert len(to_pubsub(kafka(headers=many), marked, dropped).attributes) == 100
    assert dropped == ["a header is left out: beyond 100 attributes"]


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_payload_needs_attributes(value):
    with pytest.raises(UnmappableError, match=r"t/3@42.*--attributes=metadata"):
        to_pubsub(kafka(value=value), NONE)
    assert to_pubsub(kafka(value=value), METADATA).data == b""


@pytest.mark.parametrize(("over", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_message_over_ten_megabytes_is_refused_by_name(over, fits):
    size = limits.PUBSUB_MAX_MESSAGE_BYTES + over
    if fits:
        message = to_pubsub(kafka(value=bytes(size)), NONE)
        assert size_bytes(message) == size
    else:
        with pytest.raises(UnmappableError, match="t/3@42: the message is 10000001 bytes"):
            to_pubsub(kafka(value=bytes(size)), NONE)


@pytest.mark.parametrize(
    ("policy", "key", "expected"),
    [
        ("none", b"k", ""),
        ("key", b"k", "k"),
        ("key", None, ""),
        ("key", b"k" * 1024, "k" * 1024),
        ("partition", b"k", "t/3"),
        ("key", b"k" * 1025, UnmappableError),
        ("key", b"\xff", UnmappableError),
    ],
)
def test_the_ordering_key_is_what_was_asked_for(policy, key, expected):
    wanted = ToPubsubPolicy(Attributes.NONE, policy)
    if expected is UnmappableError:
        with pytest.raises(UnmappableError, match="--ordering_key"):
            to_pubsub(kafka(key=key), wanted)
    else:
        assert to_pubsub(kafka(key=key), wanted).ordering_key == expected


@pytest.mark.parametrize(
    ("policy", "attributes", "ordering_key", "expected"),
    [
        ({}, {"key": "k"}, "o", b"k"),
        ({}, {"key": ""}, "o", b""),
        ({}, {}, "o", b"o"),
        ({}, {}, "", None),
        ({"attributes": Attributes.NONE}, {"key": "k"}, "o", b"o"),
        ({"key": "none"}, {"key": "k"}, "o", None),
        ({"key": "ordering_key"}, {"key": "k"}, "o", b"o"),
        ({"key": "attribute", "key_attribute": "x"}, {"x": "y"}, "o", b"y"),
        ({"key": "attribute", "key_attribute": "x"}, {}, "o", None),
    ],
)
def test_the_kafka_key_is_what_was_asked_for(policy, attributes, ordering_key, expected):
    message = PubsubRecord(b"d", attributes, ordering_key, "1", 2)
    record = to_kafka(message, ToKafkaPolicy("t", **policy))
    assert record.key == expected
    if policy == {}:
        assert "key" not in dict(record.headers)


def test_the_source_partition_is_kept_or_the_message_is_named():
    policy = ToKafkaPolicy("t", partition="source")
    assert to_kafka(PubsubRecord(b"d", {"kafka.partition": "7"}, "", "1"), policy).partition == 7
    largest = {"kafka.partition": str(2**31 - 1)}
    assert to_kafka(PubsubRecord(b"d", largest, "", "1"), policy).partition == 2**31 - 1
    for text in (None, "x", "-1", str(2**31), "9" * 30):
        attributes = {} if text is None else {"kafka.partition": text}
        with pytest.raises(UnmappableError, match=r"message 55.*kafka\.partition"):
            to_kafka(PubsubRecord(b"d", attributes, "", "55"), policy)


def test_an_attribute_with_a_name_of_ours_is_not_obeyed_but_reported():
    dropped: list[str] = []
    message = PubsubRecord(b"d", {"pubsub.messageId": "fake"}, "", "55", 1)
    record = to_kafka(message, ToKafkaPolicy("t"), dropped)
    assert dict(record.headers)["pubsub.messageId"] == b"55"
    assert dropped == ["attribute 'pubsub.messageId' is left out: the bridge's own header"]


def test_records_are_equal_by_content_and_class_and_show_no_payload():
    record, message = kafka(value=b"secret"), PubsubRecord(b"secret", {"a": "secret"}, "", "1")
    assert pickle.loads(pickle.dumps(record)) == record
    assert pickle.loads(pickle.dumps(message)) == message
    assert record != tuple(record)
    assert record == kafka(value=b"secret", made_from=message)
    assert record != kafka(value=b"other")
    assert "secret" not in repr(record) + repr(message) + record.name + message.name
