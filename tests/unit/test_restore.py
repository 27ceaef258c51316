"""What an archive gives back: a copy is the same but for its place, which it may say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transforms import mapping, restore
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy
from transforms.records import KafkaRecord, PubsubRecord

NONE, METADATA, LOSSLESS = Attributes

KAFKA_RECORDS = st.builds(
    KafkaRecord,
    st.just("t"),
    st.integers(0, 9),
    st.integers(0, 2**62),
    st.none() | st.integers(0, 2**40),
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
)
MESSAGES = st.builds(
    PubsubRecord,
    st.binary(),
    st.dictionaries(st.text(min_size=1), st.text()),
    st.text(),
    st.just("17"),
    st.integers(0, 2**40),
)


@given(KAFKA_RECORDS, st.sampled_from([NONE, LOSSLESS]))
def test_a_record_is_copied_as_it_was(record, attributes):
    copy = restore.to_kafka(record, ToKafkaPolicy("u", attributes, partition="source"))
    assert (copy.timestamp_ms, *copy[5:8]) == (record.timestamp_ms, *record[5:8])
    assert (copy.topic, copy.partition, copy.offset) == ("u", record.partition, None)


@given(KAFKA_RECORDS)
def test_with_metadata_a_copy_says_where_it_was_first_and_is_the_same_otherwise(record):
    copy = restore.to_kafka(record, ToKafkaPolicy("u", METADATA))
    assert (copy.key, copy.value, copy.timestamp_ms) == (*record[5:7], record.timestamp_ms)
    found = dict(copy.headers)
    assert found["kafka.topic"] == b"t"
    assert found["kafka.offset"] == b"%d" % record.offset
    ours = {"kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp"}
    assert [h for h in copy.headers if h[0] not in ours] == [
        h for h in record.headers if h[0] not in ours
    ]


@given(MESSAGES, st.sampled_from([NONE, LOSSLESS, METADATA]))
def test_a_message_is_copied_as_it_was(message, attributes):
    copy = restore.to_pubsub(message, ToPubsubPolicy(attributes))
    assert (copy.data, copy.ordering_key) == (message.data, message.ordering_key)
    first = {"pubsub.messageId", "pubsub.publishTime"} if attributes is METADATA else set()
    there = {n: v for n, v in message.attributes.items() if not n.startswith("goog")}
    assert {n: v for n, v in copy.attributes.items() if n not in first} == {
        n: v for n, v in there.items() if n not in first
    }


def test_what_goes_to_the_other_side_is_mapped_as_ever():
    record = KafkaRecord("t", 0, 1, 2, key=b"k", value=b"v")
    message = PubsubRecord(b"d", {"a": "b"}, "", "17", 5)
    assert restore.to_pubsub(record, ToPubsubPolicy()) == mapping.to_pubsub(
        record, ToPubsubPolicy()
    )
    assert restore.to_kafka(message, ToKafkaPolicy("u")) == mapping.to_kafka(
        message, ToKafkaPolicy("u")
    )


def test_keys_of_copies_follow_the_policy():
    record = KafkaRecord("t", 0, 1, key=b"k", headers=(("id", b"7"),))

    def key(**policy):
        return restore.to_kafka(record, ToKafkaPolicy("u", **policy)).key

    assert key() == key(key="ordering_key") == b"k"
    assert key(key="none") is None
    assert key(key="attribute", key_attribute="id") == b"7"
    assert key(key="attribute", key_attribute="other") is None
