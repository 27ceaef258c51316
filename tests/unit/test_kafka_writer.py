"""Writing to Kafka: what a flush counts and tells, against a producer that is told what to do."""

from __future__ import annotations

import pytest

from transforms.errors import DeliveryError, RefusedError
from transforms.kafka.client import Failure, KafkaConfig, ProducerConfig, TopicInfo
from transforms.kafka.writer import KafkaSinkConfig, KafkaWriter
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig


class ScriptedProducer:
    def __init__(self) -> None:
        self.waiting: list[KafkaRecord] = []
        self.stuck = self.full = False
        self.refused: set[bytes] = set()

    def produce(self, records):
        if self.full:
            raise DeliveryError("produce t: the buffer stayed full")
        self.waiting += records

    def in_flight(self):
        return len(self.waiting)

    def flush(self, timeout_s):
        if self.stuck:
            raise DeliveryError(f"flush: not confirmed within {timeout_s:g} s")
        written, self.waiting = self.waiting, []
        return [Failure(r, RefusedError("too large")) for r in written if r.value in self.refused]

    def close(self):
        pass


@pytest.fixture
def producer():
    return ScriptedProducer()


@pytest.fixture
def bridge():
    return Bridge(BridgeConfig("test"))


@pytest.fixture
def counts(bridge):
    return bridge.counts


@pytest.fixture
def writer(producer, bridge):
    config = KafkaSinkConfig(
        bridge.config, KafkaConfig("x:1"), ProducerConfig(), TopicInfo("t", 1, 1_000_000)
    )
    return KafkaWriter(config, bridge, lambda *_: producer)


def test_a_flush_counts_what_is_confirmed(writer, counts):
    for _ in range(3):
        writer.write([KafkaRecord("t", value=b"1234")])
    writer.flush(1)
    assert (counts.totals()["delivered"], counts.totals()["bytes"]) == (3, 12)
    assert writer.clean


def test_a_flush_that_comes_too_early_may_be_repeated(writer, producer, counts):
    writer.write([KafkaRecord("t", value=b"x")])
    producer.stuck = True
    with pytest.raises(DeliveryError, match="not confirmed"):
        writer.flush(0.1)
    assert not writer.clean
    producer.stuck = False
    writer.flush(1)
    assert counts.totals()["delivered"] == 1
    assert writer.clean


def test_a_refused_record_fails_this_flush_and_each_later_one(writer, producer, counts):
    producer.refused = {b"bad"}
    writer.write([KafkaRecord("t", value=b"good")])
    writer.write([KafkaRecord("t", value=b"bad")])
    for _ in range(2):
        with pytest.raises(RefusedError, match="too large"):
            writer.flush(1)
    assert counts.totals()["delivered"] == 1
    assert not writer.clean


def test_a_writer_that_could_not_hand_over_all_is_not_used_again(writer, producer):
    producer.full = True
    with pytest.raises(DeliveryError, match="buffer"):
        writer.write([KafkaRecord("t", value=b"x")])
    assert not writer.clean


class Given:
    """A bridge's `give_up` that keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[tuple] = []

    def __call__(self, original, error, stage, attempts=1):
        self.letters.append((original, error.what, stage))


def writer_that_gives_up(producer, bridge, monkeypatch, **rules) -> tuple[KafkaWriter, Given]:
    given = Given()
    monkeypatch.setattr(bridge, "give_up", given)
    info = TopicInfo("t", 1, 1_000_000, **rules)
    config = KafkaSinkConfig(bridge.config, KafkaConfig("x:1"), ProducerConfig(), info)
    return KafkaWriter(config, bridge, lambda *_: producer, clock=lambda: 1_000.0), given


def test_a_refused_record_is_given_up_as_what_it_was_mapped_from(
    producer, bridge, counts, monkeypatch
):
    writer, given = writer_that_gives_up(producer, bridge, monkeypatch)
    producer.refused = {b"bad"}
    message = PubsubRecord(b"bad", {}, "", "55")
    for value, made_from in ((b"1", None), (b"bad", message), (b"2", None)):
        writer.write([KafkaRecord("t", value=value, made_from=made_from)])
    writer.flush(1)
    assert given.letters == [(message, "too large", "write")]
    assert counts.totals()["delivered"] == 2
    assert writer.clean


@pytest.mark.parametrize(
    ("rules", "fields", "reason"),
    [
        ({"needs_keys": True}, {"key": None}, "has no key"),
        ({"needs_keys": True}, {"key": b""}, None),
        (
            {"max_timestamp_ahead_ms": 60_000},
            {"timestamp_ms": 1_060_001},
            "more than 60 s ahead",
        ),
        ({"max_timestamp_ahead_ms": 60_000}, {"timestamp_ms": 1_060_000}, None),
        ({"max_timestamp_ahead_ms": 60_000}, {"timestamp_ms": None}, None),
        ({"max_timestamp_ahead_ms": None}, {"timestamp_ms": 10**15}, None),
    ],
)
def test_what_the_topic_would_refuse_is_given_up_before_it_takes_others_with_it(
    producer, bridge, monkeypatch, rules, fields, reason
):
    writer, given = writer_that_gives_up(producer, bridge, monkeypatch, **rules)
    writer.write([KafkaRecord("t", value=b"v", **fields)])
    if reason is None:
        assert (len(producer.waiting), given.letters) == (1, [])
    else:
        assert producer.waiting == []
        assert reason in given.letters[0][1]
