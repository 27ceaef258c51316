"""Writing to Kafka: what a flush counts and tells, against a producer that is told what to do."""

from __future__ import annotations

import pytest

from transforms.errors import DeliveryError, RefusedError
from transforms.kafka.client import Failure, KafkaConfig, ProducerConfig
from transforms.kafka.sink import KafkaSinkConfig, KafkaWriter
from transforms.metrics import Counts
from transforms.records import KafkaRecord
from transforms.registry import BridgeConfig


class ScriptedProducer:
    def __init__(self) -> None:
        self.waiting: list[KafkaRecord] = []
        self.stuck = False
        self.refused: set[bytes] = set()

    def produce(self, record):
        self.waiting.append(record)

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
def counts():
    return Counts()


@pytest.fixture
def writer(producer, counts):
    config = KafkaSinkConfig(BridgeConfig("test"), KafkaConfig("x:1"), ProducerConfig())
    return KafkaWriter(config, counts, lambda *_: producer)


def test_a_flush_counts_what_is_confirmed(writer, counts):
    for _ in range(3):
        writer.write(KafkaRecord("t", value=b"1234"))
    writer.flush(1)
    assert (counts.totals()["delivered"], counts.totals()["bytes"]) == (3, 12)
    assert writer.clean


def test_a_flush_that_comes_too_early_may_be_repeated(writer, producer, counts):
    writer.write(KafkaRecord("t", value=b"x"))
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
    writer.write(KafkaRecord("t", value=b"good"))
    writer.write(KafkaRecord("t", value=b"bad"))
    for _ in range(2):
        with pytest.raises(RefusedError, match="too large"):
            writer.flush(1)
    assert counts.totals()["delivered"] == 1
    assert not writer.clean
