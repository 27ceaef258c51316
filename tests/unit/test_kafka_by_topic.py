"""Writing to topics that records name: each by its own rules, those that are not there given up."""

from __future__ import annotations

import pytest

from transforms.errors import (
    DeliveryError,
    HiddenTopicError,
    PreflightError,
    RefusedError,
)
from transforms.kafka.by_topic import WriterByTopic
from transforms.kafka.client import KafkaConfig, ProducerConfig, TopicInfo
from transforms.kafka.topic_rules import TopicRules
from transforms.kafka.writer import KafkaSinkConfig
from transforms.missing_topics import AGAIN_AFTER_S
from transforms.records import KafkaRecord, PubsubRecord
from transforms.registry import Bridge, BridgeConfig


class Cluster:
    """An admin, and a clock that time passes on while it is slept."""

    def __init__(self, *topics: TopicInfo) -> None:
        self.there = {info.name: info for info in topics}
        self.asked: list[list[str]] = []
        self.errors: list[Exception] = []
        self.created: list[tuple] = []
        self.now_s = 100.0

    def topics(self, names):
        self.asked.append(list(names))
        if self.errors:
            raise self.errors.pop(0)
        return {name: self.there[name] for name in names if name in self.there}

    def create_topic(self, name, partitions, replication):
        self.created.append((name, partitions, replication))
        if partitions > 100:
            raise PreflightError(f"create topic {name} on x:1: the policy allows 100 partitions")
        self.there[name] = TopicInfo(name, partitions, 1_000)

    def close(self):
        self.errors = [AssertionError("closed")]

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def bridge():
    return Bridge(BridgeConfig("test", delivery_timeout_s=20))


def rules_of(cluster: Cluster, bridge: Bridge, create=None) -> TopicRules:
    return TopicRules(
        KafkaConfig("x:1"),
        create,
        20,
        bridge.health,
        lambda *_: cluster,
        cluster.clock,
        cluster.sleep,
    )


def passing() -> PreflightError:
    error = PreflightError("list topics on x:1: no answer")
    error.__cause__ = TimeoutError()
    return error


A, B = TopicInfo("a", 1, 1_000), TopicInfo("b", 2, 1_000)


def test_a_topic_is_asked_for_once(bridge):
    cluster = Cluster(A)
    rules = rules_of(cluster, bridge)
    assert rules.of("a") is rules.of("a") is A
    assert cluster.asked == [["a"]]


def test_a_topic_that_is_not_there_is_asked_for_again_after_a_while(bridge):
    cluster = Cluster(A)
    rules = rules_of(cluster, bridge)
    rules.of("a")
    for _ in range(3):
        with pytest.raises(RefusedError, match=r"there is no topic b at x:1.*--create_topics"):
            rules.of("b")
    assert cluster.asked == [["a"], ["b", "a"]]
    cluster.there["b"] = B
    cluster.now_s += AGAIN_AFTER_S
    assert rules.of("b") is B


def test_a_broker_that_does_not_know_its_topics_yet_is_asked_twice(bridge):
    cluster = Cluster()
    sleep = cluster.sleep
    rules = rules_of(cluster, bridge)
    rules._sleep = lambda seconds: (sleep(seconds), cluster.there.update(a=A))
    assert rules.of("a") is A


def test_a_cluster_that_does_not_answer_is_asked_until_the_delivery_timeout(bridge):
    cluster = Cluster(A)
    rules = rules_of(cluster, bridge)
    cluster.errors = [passing() for _ in range(3)]
    assert rules.of("a") is A
    assert bridge.counts.totals()["retries"] == 3
    cluster.errors = [passing() for _ in range(100)]
    with pytest.raises(DeliveryError, match="no answer"):
        rules.of("b")
    assert len(cluster.errors) > 80


def test_a_cluster_that_refuses_the_user_ends_the_run(bridge):
    cluster = Cluster(A)
    cluster.errors = [PreflightError("log in to x:1: wrong password")]
    with pytest.raises(DeliveryError, match="wrong password"):
        rules_of(cluster, bridge).of("a")


@pytest.mark.parametrize(
    "there",
    [HiddenTopicError("there is none, or this user may not see it; allow"), {"READ", "DESCRIBE"}],
)
def test_a_topic_that_this_user_may_not_write_to_is_refused(bridge, there):
    cluster = Cluster(A)
    if isinstance(there, set):
        cluster.there["a"] = A._replace(operations=frozenset(there))
    else:
        cluster.errors = [there]
    with pytest.raises(RefusedError, match="this user may not") as raised:
        rules_of(cluster, bridge).of("a")
    assert "allow" in raised.value.remedy


def test_a_missing_topic_is_created_if_that_is_wanted(bridge):
    cluster = Cluster()
    assert rules_of(cluster, bridge, (6, 3)).of("new").partitions == 6
    assert cluster.created == [("new", 6, 3)]
    with pytest.raises(RefusedError, match="the policy allows 100"):
        rules_of(cluster, bridge, (101, 3)).of("newer")


class Producer:
    def __init__(self, config: ProducerConfig) -> None:
        self.config = config
        self.taken: list[KafkaRecord] = []
        self.closed = False

    def produce(self, records):
        self.taken += records

    def in_flight(self):
        return 0

    def flush(self, timeout_s):
        return []

    def close(self):
        self.closed = True


def test_a_record_is_written_by_the_rules_of_its_own_topic(bridge, monkeypatch):
    given = []
    monkeypatch.setattr(bridge, "give_up", lambda *letter: given.append(letter))
    small, compacted = TopicInfo("s", 1, 500), TopicInfo("c", 1, 1_000, needs_keys=True)
    producers: list[Producer] = []

    def open_producer(_cluster, config):
        producers.append(Producer(config))
        return producers[-1]

    config = KafkaSinkConfig(bridge.config, KafkaConfig("x:1"), ProducerConfig())
    rules = rules_of(Cluster(A, B, small, compacted), bridge)
    writer = WriterByTopic(config, bridge, rules, open_producer)
    message = PubsubRecord(b"v", message_id="5")
    for topic in ("a", "b", "s", "c", "none"):
        writer.write([KafkaRecord(topic, value=b"v", made_from=message)])
    writer.flush(10)
    written = {p.config.max_message_bytes: [r.topic for r in p.taken] for p in producers[:2]}
    assert written == {1_000: ["a", "b"], 500: ["s"]}
    assert bridge.counts.totals()["delivered"] == 3
    assert [(original, error.what) for original, error, _ in given] == [
        (message, "produce c (from message 5): it has no key, and the topic is compacted"),
        (message, "produce none (from message 5): there is no topic none at x:1"),
    ]
    assert writer.clean
    writer.close()
    assert all(producer.closed for producer in producers)


def test_producers_are_not_kept_without_end(bridge):
    topics = [TopicInfo(f"t{n}", 1, 1_000 + n) for n in range(40)]
    opened: list[Producer] = []

    def open_producer(_cluster, config):
        opened.append(Producer(config))
        return opened[-1]

    config = KafkaSinkConfig(bridge.config, KafkaConfig("x:1"), ProducerConfig())
    writer = WriterByTopic(config, bridge, rules_of(Cluster(*topics), bridge), open_producer)
    for info in topics:
        writer.write([KafkaRecord(info.name, value=b"v")])
        writer.flush(10)
    assert len(opened) == 40
    assert sum(not producer.closed for producer in opened) <= 16
