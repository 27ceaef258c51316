"""The lossless mapping: an inverse both ways, with every plain field plain in the middle."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms import limits
from transforms.attributes import ORIGINS, OWN_HEADERS, size_bytes
from transforms.errors import UnmappableError
from transforms.lossless import message_in, pack_message, pack_record, record_in
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

LOSSLESS = ToPubsubPolicy(Attributes.LOSSLESS, cluster_id="c")
TO_KAFKA = ToKafkaPolicy("t", Attributes.LOSSLESS, origin="0" * 16)

thorough = settings(
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def there_and_back(record: KafkaRecord) -> KafkaRecord:
    """Kafka -> Pub/Sub -> Kafka, put where it was read."""
    message, packed = to_pubsub(record, LOSSLESS), message_in(record)
    if packed is not None:
        message = message._replace(
            message_id=packed.message_id, publish_time_ms=packed.publish_time_ms
        )
    back = to_kafka(message, TO_KAFKA)
    return back._replace(topic=record.topic, partition=record.partition, offset=record.offset)


def back_and_there(message: PubsubRecord) -> PubsubRecord:
    """Pub/Sub -> Kafka -> Pub/Sub, with the id and time that it had."""
    record = to_kafka(message, TO_KAFKA)
    packed = record_in(message)
    place = (packed.topic, packed.partition, packed.offset) if packed else ("t", 1, 2)
    topic, partition, offset = place
    read = record._replace(topic=topic, partition=partition, offset=offset, made_from=None)
    again = to_pubsub(read, ToPubsubPolicy(Attributes.LOSSLESS))
    return again._replace(message_id=message.message_id, publish_time_ms=message.publish_time_ms)


# -- the input space -------------------------------------------------------------------------------

text = st.text(st.characters(codec="utf-8"), max_size=12)
odd_names = st.sampled_from(
    [
        "",
        "a",
        "b",
        "key",
        "self",
        "topic",
        "data",
        "ordering_key",
        "timeout",
        "kafka.topic",
        "kafka.offset",
        "kafka.timestamp",
        "bridge.record",
        "bridge.record.1",
        "bridge.record.2",
        "bridge.message",
        "bridge.origins",
        "pubsub.messageId",
        "pubsub.publishTime",
        "pubsub.orderingKey",
        "goog",
        "googclient_x",
        "n" * 256,
        "n" * 257,
        "é" * 128,
        "é" * 129,
    ]
)
names = odd_names | text
values = (
    st.none()
    | st.binary(max_size=20)
    | text.map(str.encode)
    | st.sampled_from(
        [b"", b"x" * 1024, b"x" * 1025, "é".encode() * 513, bytes(16), b"\xff" * 3000]
    )
    | st.sampled_from([b'{"v":1}', b'{"v":1,"headers":[1,0]}', b'{"v":2}', b"1", b"t"])
)
timestamps = st.none() | st.integers(-1, 2**41) | st.just(-(2**63))
records = st.builds(
    KafkaRecord,
    topic=st.sampled_from(["t", "u.v"]),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=timestamps,
    timestamp_type=st.sampled_from(TimestampType),
    key=values,
    value=st.none() | st.binary(max_size=30),
    headers=st.lists(st.tuples(names, values), max_size=8).map(tuple),
)
attribute_names = odd_names.filter(lambda name: 0 < len(name.encode()) <= 256) | text.filter(bool)
attribute_values = text | st.sampled_from(
    [
        *["x" * 1024, "", '{"v":1}', "7", "0007", "1e3", "²"],
        *['{"v":1,"headers":[true,false]}', '{"v":1,"value":null}', '{"v":true}'],
    ]
)
messages = st.builds(
    PubsubRecord,
    data=st.binary(max_size=30),
    attributes=st.dictionaries(attribute_names, attribute_values, max_size=8),
    ordering_key=text | st.sampled_from(["t/1", "x" * 1024]),
    message_id=st.text("0123456789", max_size=17),
    publish_time_ms=timestamps,
).filter(lambda message: message.data or message.attributes)


def as_read(record: KafkaRecord) -> KafkaRecord:
    return record._replace(topic="t", partition=1, offset=2, made_from=None)


packed_records = records.map(lambda record: to_pubsub(record, LOSSLESS)._replace(made_from=None))
packed_messages = messages.map(lambda message: as_read(to_kafka(message, TO_KAFKA)))
twice_packed = packed_records.map(
    lambda m: as_read(
        KafkaRecord("t", value=m.data)._replace(
            timestamp_ms=m.publish_time_ms, headers=tuple(pack_message(m))
        )
    )
)
tampered = st.tuples(packed_records, attribute_names, attribute_values).map(
    lambda t: t[0]._replace(attributes={**t[0].attributes, t[1]: t[2]})
)
other_data = st.tuples(packed_records, st.binary(max_size=3)).map(
    lambda t: t[0]._replace(data=t[1])
)
tampered_records = st.tuples(packed_messages, names, values, st.integers(0, 9)).map(
    lambda t: t[0]._replace(headers=(*t[0].headers[: t[3]], (t[1], t[2]), *t[0].headers[t[3] :]))
)


def without_hops(message: PubsubRecord) -> dict[str, str]:
    """A packed record's attributes without the marker, and what Pub/Sub adds on its own."""
    return {
        name: value
        for name, value in message.attributes.items()
        if name != "bridge.origins" and not name.startswith("goog")
    }


def same_record(back: KafkaRecord, record: KafkaRecord) -> bool:
    """Equal; a packed message's marker and appended time belong to the hop that packed it."""
    if message_in(record) is None:
        return back == record
    headers = tuple(header for header in record.headers if header[0] != "bridge.origins")
    found = tuple(header for header in back.headers if header[0] != "bridge.origins")
    appended = record.timestamp_type is TimestampType.LOG_APPEND_TIME
    return (
        found == headers
        and back.value == record.value
        and (appended or back.timestamp_ms == record.timestamp_ms)
    )


@thorough
@given(records | packed_messages | twice_packed | tampered_records)
def test_every_record_comes_back_from_pubsub_as_it_was(record):
    assert same_record(there_and_back(record), record)


@thorough
@given(messages | packed_records | tampered | other_data)
def test_every_message_comes_back_from_kafka_as_it_was(message):
    back = back_and_there(message)
    assert back.data == message.data
    if record_in(message) is None:
        assert (back.attributes, back.ordering_key) == (message.attributes, message.ordering_key)
    else:
        assert without_hops(back) == without_hops(message)


@pytest.mark.parametrize("removed", [0, 1])
@pytest.mark.parametrize("name", sorted(OWN_HEADERS))
def test_a_packed_message_with_a_header_of_ours_added_or_replaced_comes_back_as_it_is(
    name, removed
):
    for ordering_key, publish_time_ms in (("", None), ("k", 1)):
        message = PubsubRecord(b"d", {"a": "1"}, ordering_key, "7", publish_time_ms)
        packed = as_read(to_kafka(message, TO_KAFKA))
        for at in range(len(packed.headers) + 1):
            for value in (None, b"", b"1", b"\xff"):
                rest = packed.headers[at + removed :]
                record = packed._replace(headers=(*packed.headers[:at], (name, value), *rest))
                assert same_record(there_and_back(record), record)


# -- the message in the middle ---------------------------------------------------------------------

OWN = {"key", "kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp"}


def is_plain(name: str, value: bytes | None, headers) -> bool:
    """Whether a header fits an attribute of the same name and text, by docs/mapping.md."""
    if value is None or not 0 < len(name.encode()) <= 256 or len(value) > 1024:
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    reserved = name in OWN or name.startswith(("goog", "bridge.record.")) or name == ORIGINS
    alone = sum(other == name for other, _ in headers) == 1
    return alone and not reserved and name != "bridge.record"


wide_records = st.builds(
    KafkaRecord,
    topic=st.just("t"),
    partition=st.just(1),
    offset=st.just(2),
    timestamp_ms=timestamps,
    key=values,
    value=st.none() | st.binary(max_size=30),
    headers=st.lists(st.tuples(names, values), max_size=8).flatmap(
        lambda few: st.integers(80, 100).map(
            lambda n: (*few, *((f"h{i}", b"%d" % i) for i in range(n)))
        )
    ),
)


@settings(thorough, max_examples=1_000)
@given(records | wide_records)
def test_in_the_middle_data_is_the_value_and_every_plain_header_a_plain_attribute(record):
    try:
        message = to_pubsub(record, LOSSLESS)
    except UnmappableError:
        assert len(record.headers) > 80
        return
    if message_in(record) is not None:
        return
    assert message.data == (record.value or b"")
    for name, value in record.headers:
        if is_plain(name, value, record.headers):
            assert message.attributes[name].encode() == value
        elif name not in OWN | {"bridge.record", ORIGINS} and not name.startswith("bridge.record."):
            assert name not in message.attributes
    assert size_bytes(message) <= limits.PUBSUB_MAX_MESSAGE_BYTES
    assert len(message.attributes) <= limits.PUBSUB_MAX_ATTRIBUTES
    for name, text_value in message.attributes.items():
        assert 0 < len(name.encode()) <= limits.PUBSUB_MAX_ATTRIBUTE_NAME_BYTES
        assert len(text_value.encode()) <= limits.PUBSUB_MAX_ATTRIBUTE_VALUE_BYTES


def record_with(headers, **fields) -> KafkaRecord:
    return KafkaRecord("t", 1, 2, 3, headers=tuple(headers), **{"value": b"v"} | fields)


@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_headers_and_spill_fill_an_attribute_less_than_pubsub_admits(more, fits):
    headers = [(f"h{n:03}", b"v") for n in range(94 + more)]
    if fits:
        assert len(pack_record(record_with(headers))) == 99 + more
    else:
        with pytest.raises(UnmappableError, match=r"t/1@2.* takes 101 attributes"):
            pack_record(record_with(headers))


@pytest.mark.parametrize(("more", "fits"), [(-1, True), (0, True), (1, False)])
def test_the_spill_holds_95_attributes_of_1024_bytes(more, fits):
    framing = len('{"v":1,"headers":[["h",""]]}')
    record = record_with([("h", b"x" * (95 * 1024 - framing + more))])
    if fits:
        assert there_and_back(record) == record
    else:
        with pytest.raises(UnmappableError, match="set --dead_letter"):
            pack_record(record)


@pytest.mark.parametrize(
    "record",
    [
        record_with((f"header-{n}", b"v" * 16) for n in range(5_000)),
        record_with([("h", bytes(1_000_000))]),
        record_with([("caf\udce9", b"v")]),
        record_with([], value=bytes(11_000_000)),
    ],
    ids=["5,000 headers", "a header of 1 MB", "a name that is not UTF-8", "11 MB in all"],
)
def test_what_fits_neither_attributes_nor_spill_is_named(record):
    with pytest.raises(UnmappableError, match=r"map t/1@2: .*--dead_letter"):
        to_pubsub(record, LOSSLESS)


def test_the_messages_own_ordering_key_wins_over_the_policys():
    message = PubsubRecord(b"d", {"a": "1"}, "theirs", "1", 2)
    record = as_read(to_kafka(message, TO_KAFKA))
    for ordering_key in ("none", "key", "partition"):
        policy = ToPubsubPolicy(Attributes.LOSSLESS, ordering_key)
        assert to_pubsub(record, policy).ordering_key == "theirs"


@pytest.mark.parametrize(
    ("spill", "data"),
    [
        ('{"v":1,"value":null}', b"new data beside a tombstone's attributes"),
        ('{"v":1,"headers":[true,false]}', b"d"),
        ('{"v":true}', b"d"),
        ('{"v":1.0}', b"d"),
        ('{"v":1,"v":1}', b"d"),
        ("[" * 1_000, b"d"),
    ],
)
def test_what_only_looks_packed_is_carried_as_what_it_is(spill, data):
    place = {"kafka.topic": "t", "kafka.partition": "0", "kafka.offset": "5"}
    message = PubsubRecord(data, {**place, "a": "1", "b": "2", "bridge.record": spill})
    assert record_in(message) is None
    assert to_kafka(message, TO_KAFKA).value == data
    assert back_and_there(message)[:3] == message[:3]
