"""What a destination has of a source, by what its messages say."""

from __future__ import annotations

import pytest

from transforms import restore
from transforms.delivered import Delivered, names
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

WRITTEN = [Attributes.METADATA, Attributes.LOSSLESS]


def record(offset: int, **fields) -> KafkaRecord:
    given = {"timestamp_ms": 1_000 + offset, "key": b"k", "value": b"v", **fields}
    return KafkaRecord("t", 3, offset, **given)


def message(number: int, **fields) -> PubsubRecord:
    given = {"message_id": str(number), "publish_time_ms": 5_000 + number, **fields}
    return PubsubRecord(b"data", **given)


def delivered(found, of_kafka: bool, attributes=Attributes.METADATA, wanted=None) -> Delivered:
    return Delivered(names(found, of_kafka, attributes is Attributes.LOSSLESS, wanted))


@pytest.mark.parametrize("attributes", WRITTEN)
def test_a_record_that_is_in_pubsub_is_known_by_its_place_and_time(attributes):
    policy = ToPubsubPolicy(attributes, cluster_id="c")
    sent = [record(5), record(2), record(5), record(7, timestamp_ms=None)]
    known = delivered([to_pubsub(r, policy) for r in sent], True, attributes)
    assert [r.offset for r in map(record, range(10)) if r in known] == [2, 5]
    assert record(7, timestamp_ms=None) in known
    assert len(known) == 3
    assert record(5)._replace(partition=4) not in known
    assert record(5)._replace(topic="other") not in known
    assert record(5, timestamp_ms=9) not in known  # of a topic that was made anew
    assert record(5, value=b"w") not in known
    assert record(7, timestamp_ms=None, value=None) not in known


@pytest.mark.parametrize("attributes", WRITTEN)
@pytest.mark.parametrize("odd", ["", "0123", "abc", "9" * 30])
def test_a_message_that_is_in_kafka_is_known_by_its_id_and_time(attributes, odd):
    sent = [message(5), message(2), message(1, message_id=odd or "1")]
    policy = ToKafkaPolicy("t", attributes)
    known = delivered([to_kafka(m, policy) for m in sent], False, attributes)
    assert all(m in known for m in sent)
    assert message(3) not in known
    assert message(5, publish_time_ms=1) not in known


def test_a_copy_from_an_archive_is_known_by_where_it_was_last():
    """Not by where it was before: a record that was a message, and a message that was a record."""
    once = to_kafka(message(1), ToKafkaPolicy("t"))._replace(partition=3, offset=9)
    copy = restore.to_kafka(once, ToKafkaPolicy("again"))
    known = delivered([copy], of_kafka=True)
    assert (once in known, message(1) in known, len(known)) == (True, False, 1)
    was_record = to_pubsub(record(1), ToPubsubPolicy())
    came = PubsubRecord(was_record.data, was_record.attributes, "", "77", 8)
    known = delivered([restore.to_pubsub(came, ToPubsubPolicy())], of_kafka=False)
    assert (came in known, record(1) in known, len(known)) == (True, False, 1)


def test_what_was_restored_from_a_packed_one_says_nothing_of_this_backfill():
    lossless = ToPubsubPolicy(Attributes.LOSSLESS)
    plain = to_pubsub(record(1), ToPubsubPolicy())  # a message that another bridge has made
    packed = to_kafka(plain, ToKafkaPolicy("t", Attributes.LOSSLESS))
    restored = to_pubsub(packed._replace(partition=0, offset=4), lossless)
    assert restored.attributes["kafka.offset"] == "1"
    assert len(delivered([restored], True, Attributes.LOSSLESS)) == 0


def test_what_does_not_say_where_it_is_from_is_not_known():
    policy = ToPubsubPolicy(Attributes.NONE)
    found = [to_pubsub(record(1), policy), PubsubRecord(b"", {"kafka.topic": "t"})]
    assert len(delivered(found, of_kafka=True)) == 0
    found = [to_kafka(message(1), ToKafkaPolicy("t", Attributes.NONE))]
    assert len(delivered(found, of_kafka=False)) == 0


def test_only_the_offsets_that_are_still_to_be_read_are_kept():
    found = [to_pubsub(record(n), ToPubsubPolicy()) for n in range(10)]
    wanted = {("t", 3): Ranges(((6, 7),)), ("t", 4): Ranges(((0, 9),))}
    known = delivered(found, of_kafka=True, wanted=wanted)
    assert [n for n in range(10) if record(n) in known] == [6, 7]
