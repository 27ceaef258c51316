"""What is said of a message's fate is what mapping, writer and batch format make of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from transforms import explain, origins
from transforms.errors import RefusedError, UnmappableError
from transforms.explain import Destination, of_message, of_record
from transforms.kafka.client import KafkaConfig, ProducerConfig, TopicInfo
from transforms.kafka.writer import KafkaSinkConfig, KafkaWriter
from transforms.lossless import pack_message, pack_record
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord, TimestampType
from transforms.registry import Bridge, BridgeConfig

NOW_MS = 1_700_000_000_000
METADATA = ToPubsubPolicy()
LOSSLESS = ToPubsubPolicy(Attributes.LOSSLESS)
TO_KAFKA = ToKafkaPolicy("t", Attributes.LOSSLESS)
ROOMY = TopicInfo("t", 4, 20_000_000)
TO = Destination(ROOMY, "librdkafka", NOW_MS)

thorough = settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
names = st.sampled_from(["a", "b", "key", "goog", "", "bridge.record", "n" * 257, "\udcff", "é"])
values = st.sampled_from([None, b"", b"v", b"\xff", b"x" * 1024, b"x" * 1025])


def record(**fields) -> KafkaRecord:
    return KafkaRecord("t", 1, 7, **{"timestamp_ms": NOW_MS, "value": b"v", **fields})


# -- spills ----------------------------------------------------------------------------------------


@thorough
@given(
    st.builds(
        record,
        key=values,
        value=st.sampled_from([None, b"", b"v"]),
        timestamp_type=st.sampled_from(TimestampType),
        headers=st.lists(st.tuples(names, values), max_size=5).map(tuple)
        | st.integers(90, 98).map(lambda n: tuple((f"h{i}", b"v") for i in range(n))),
    )
)
def test_a_records_spill_has_a_reason_unless_it_is_an_order_of_headers(record):
    try:
        attributes = pack_record(record)
    except UnmappableError:
        assume(False)
    pieces = [attributes[name] for name in attributes if name.startswith("bridge.record")]
    content = json.loads("".join(pieces))
    only_order = all(isinstance(entry, int) for entry in content.pop("headers", []))
    nothing = content == {"v": 1} and only_order
    assert (explain.record_spills(record) == ()) is nothing


@thorough
@given(
    st.dictionaries(
        st.sampled_from(["a", "b\0", "pubsub.messageId", "bridge.message", "bridge.record"]),
        st.sampled_from(["", "v"]),
    )
)
def test_a_messages_spill_has_a_reason(attributes):
    message = PubsubRecord(b"d", attributes, message_id="1")
    nothing = pack_message(message)[-1] == ("bridge.message", b'{"v":1}')
    assert (explain.message_spills(message) == ()) is nothing


def test_each_field_says_why_it_spills_and_each_reason_once():
    spilled = record(
        key=b"\xff",
        value=None,
        timestamp_type=TimestampType.LOG_APPEND_TIME,
        headers=(("a", b"1"), ("a", b"2"), ("n", None), ("goog", b"v"), ("m", None)),
    )
    assert of_record(spilled, LOSSLESS, "")[:2] == (
        "spills",
        (
            "key: it is not UTF-8",
            "value: it is null",
            "timestamp: it is the broker's (LogAppendTime)",
            "header: its name is repeated",
            "header: it is null",
            "header: its name is reserved by Pub/Sub",
        ),
    )


# -- the fate of one -------------------------------------------------------------------------------

IN_ORDER = ToPubsubPolicy(ordering_key="key")
MARKER = origins.of_pubsub("projects/p/topics/ttt")
PACKED_MESSAGE = to_kafka(PubsubRecord(b"d", {"a": "b"}, "", "1", NOW_MS), TO_KAFKA)._replace(
    partition=1, offset=7, made_from=None
)
PACKED_RECORD = to_pubsub(record(key=b"k"), LOSSLESS)._replace(made_from=None)


@pytest.mark.parametrize(
    ("record", "policy", "kind", "reasons"),
    [
        (record(key=b"k", headers=(("b", b"1"), ("a", b"2"))), METADATA, "fits", ()),
        (record(key=b"k", headers=(("b", b"1"), ("a", b"2"))), LOSSLESS, "fits", ()),
        (
            record(value=b"v" * 10_000_000),
            METADATA,
            "dead letter",
            ("the message is N bytes, Pub/Sub's limit is 10000000",),
        ),
        (
            record(key=b"k" * 1025),
            IN_ORDER,
            "dead letter",
            ("the key is N bytes, an ordering key's limit is 1024",),
        ),
        (
            record(key=b"\xff"),
            IN_ORDER,
            "dead letter",
            ("the key is not UTF-8, and an ordering key has to be",),
        ),
        (
            record(key=b"\xff"),
            METADATA,
            "fields left out",
            ("the key is left out: it is not UTF-8",),
        ),
        (record(headers=(("bridge.origins", MARKER.encode()),)), METADATA, "return", None),
        (PACKED_MESSAGE, LOSSLESS, "restored", ("a packed message",)),
        (PACKED_MESSAGE, METADATA, "fits", ()),
    ],
)
def test_what_becomes_of_a_record(record, policy, kind, reasons):
    fate = of_record(record, policy, MARKER)
    assert fate.kind == kind
    assert reasons in (None, fate.reasons)
    assert (fate.mapped is None) is (kind in ("dead letter", "return"))


@pytest.mark.parametrize(
    ("message", "policy", "kind", "reasons"),
    [
        (PubsubRecord(b"d", {"a": "b"}), ToKafkaPolicy("t"), "fits", ()),
        (PubsubRecord(b"d", {"a": "b"}), TO_KAFKA, "fits", ()),
        (
            PubsubRecord(b"d", {"a\0": "b"}),
            ToKafkaPolicy("t"),
            "fields left out",
            ("attribute 'a\\x00' is left out: a zero byte in its name",),
        ),
        (
            PubsubRecord(b"d", {"kafka.partition": "x"}),
            ToKafkaPolicy("t", partition="source"),
            "dead letter",
            ("--partition=source, but attribute kafka.partition is no partition's number",),
        ),
        (
            PubsubRecord(b"d", {"kafka.partition": "4"}),
            ToKafkaPolicy("t", partition="source"),
            "dead letter",
            ("its partition is not there, the topic has 4",),
        ),
        (PubsubRecord(b"d", {"bridge.origins": MARKER}), ToKafkaPolicy("t"), "return", None),
        (PACKED_RECORD, TO_KAFKA, "restored", ("a packed record",)),
    ],
)
def test_what_becomes_of_a_message(message, policy, kind, reasons):
    fate = of_message(message._replace(message_id="5"), policy, MARKER, TO)
    assert fate.kind == kind
    assert reasons in (None, fate.reasons)


def test_numbers_and_names_make_no_new_kind_of_dead_letter():
    fates = {of_record(record(value=bytes(n)), METADATA, "") for n in (10_000_001, 10_000_002)}
    assert len({fate.reasons for fate in fates}) == 1


# -- what Kafka refuses ----------------------------------------------------------------------------


class Buffer:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[KafkaRecord] = []

    def produce(self, records: Sequence[KafkaRecord]) -> None:
        self.taken += records


@pytest.mark.parametrize("key", [None, b"", b"k"])
@pytest.mark.parametrize("needs_keys", [False, True])
@pytest.mark.parametrize("ahead_ms", [None, 0, 1000])
@pytest.mark.parametrize("timestamp_ms", [None, NOW_MS, NOW_MS + 1000, NOW_MS + 1001])
def test_the_topics_rules_are_the_writers(key, needs_keys, ahead_ms, timestamp_ms):
    topic = TopicInfo("t", 4, 1_000, needs_keys, ahead_ms)
    config = BridgeConfig("explain")
    written = KafkaRecord("t", timestamp_ms=timestamp_ms, key=key, value=b"v")
    writer = KafkaWriter(
        KafkaSinkConfig(config, KafkaConfig("x:1"), ProducerConfig(), topic),
        Bridge(config),
        lambda *_: Buffer(),
        lambda: NOW_MS / 1000,
    )
    try:
        writer.write([written])
        refused = False
    except RefusedError:
        refused = True
    reasons = explain.refusals(written, Destination(topic, "librdkafka", NOW_MS))
    assert bool(reasons) is refused


@pytest.mark.parametrize(
    ("client", "record", "refused"),
    [
        ("librdkafka", KafkaRecord("t", timestamp_ms=0, value=b"v"), True),
        ("kafka-python", KafkaRecord("t", timestamp_ms=0, value=b"v"), False),
        ("librdkafka", KafkaRecord("t", value=b"v", headers=(("a\0", b"1"),)), True),
        ("kafka-python", KafkaRecord("t", value=b"v", headers=(("a\0", b"1"),)), False),
        ("librdkafka", KafkaRecord("t", value=b"v", headers=(("a", None),)), False),
        ("kafka-python", KafkaRecord("t", value=b"v", headers=(("a", None),)), True),
    ],
)
def test_a_client_refuses_what_it_cannot_write(client, record, refused):
    assert bool(explain.refusals(record, TO._replace(client=client))) is refused


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_record_is_as_large_as_its_batch(over):
    limit_bytes, framing_bytes = 1_048_588, 61 + 11
    written = KafkaRecord("t", value=bytes(limit_bytes + over - framing_bytes))
    assert explain.batch_bytes(written) == limit_bytes + over
    to = TO._replace(topic=TopicInfo("t", 1, limit_bytes))
    assert bool(explain.refusals(written, to)) is (over > 0)


@pytest.mark.parametrize("size", [0, 63, 64, 8191, 8192])
def test_lengths_are_varints(size):
    """`kafka-python` writes the same batch."""
    from kafka.record.default_records import DefaultRecordBatchBuilder

    headers = [("é" * 40, b"h" * size), ("null", None)]
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**9)
    builder.append(0, 5, b"k" * size, b"v" * size, headers)
    written = KafkaRecord("t", key=b"k" * size, value=b"v" * size, headers=tuple(headers))
    assert explain.batch_bytes(written) == len(builder.build())
