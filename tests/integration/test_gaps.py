"""Offsets that are gone before they are read: an error that names them, or they are counted."""

from __future__ import annotations

import re
import signal
import time
import uuid
from contextlib import closing, contextmanager

import pytest
from ends import until
from kafka import KafkaAdminClient, TopicPartition

from transforms.kafka.client_rules import FETCH_MAX_WAIT_MS
from transforms.records import KafkaRecord

CONTINUE = "--on_offset_gap=continue"


class Source:
    """A topic that kafka_to_ps reads, and what can happen to it."""

    def __init__(self, kafka, pubsub, unique) -> None:
        self.topic, self._kafka, self._pubsub = kafka.create(unique), kafka, pubsub
        destination, self._subscription = pubsub.create(unique)
        self.flags = [
            f"--kafka_topics={unique}",
            f"--group_id={unique}",
            f"--pubsub_topic={destination}",
            "--metadata_interval_s=0.5",
        ]
        self._messages: list[bytes] = []

    def send(self, count: int, what: str = "old") -> None:
        self._kafka.send(
            KafkaRecord(self.topic, 0, value=b"%s %d" % (what.encode(), n)) for n in range(count)
        )

    def _admin(self):
        return closing(KafkaAdminClient(bootstrap_servers=self._kafka.config.bootstrap_servers))

    def expire_before(self, offset: int) -> None:
        with self._admin() as admin:
            admin.delete_records({TopicPartition(self.topic, 0): offset})

    def delete(self) -> None:
        with self._admin() as admin:
            admin.delete_topics([self.topic])
        until(lambda: not self._kafka.admin.partitions([self.topic]), "the topic is gone")

    def make_anew(self, count: int) -> None:
        self.delete()
        self._kafka.create(self.topic)
        self._kafka.send(KafkaRecord(self.topic, 0, value=b"new %d" % n) for n in range(count))

    def arrived(self, what: str = "") -> int:
        self._messages += [m.data for m in self._pubsub.pull(self._subscription)]
        return len({m for m in self._messages if m.startswith(what.encode())})

    @property
    def committed(self) -> int:
        return self._kafka.committed(self.topic)


@pytest.fixture
def source(kafka, pubsub, unique) -> Source:
    return Source(kafka, pubsub, unique)


@contextmanager
def paused(bridge):
    """It sees nothing of what happens meanwhile."""
    bridge.process.send_signal(signal.SIGSTOP)
    yield
    bridge.process.send_signal(signal.SIGCONT)


def fails(bridge) -> str:
    """Waits until the bridge ends with exit status 1; returns its last line."""
    assert bridge.process.wait(30) == 1, bridge.output
    return bridge.output.strip().splitlines()[-1]


def test_offsets_that_retention_took_are_named_and_passed_over_only_when_asked_to(
    source, run_bridge
):
    source.send(100)
    run_bridge("kafka_to_ps", *source.flags, "--max_messages=40").wait()
    source.expire_before(60)
    bridge = run_bridge("kafka_to_ps", *source.flags)
    assert bridge.process.wait(60) == 2
    assert f"{source.topic}/0: offset 40 is not there" in bridge.output
    assert "40 to 59 are gone unread" in bridge.output
    bridge = run_bridge("kafka_to_ps", *source.flags, CONTINUE, "--max_messages=40")
    report = bridge.wait()
    assert (report["delivered"], report["offsets_lost"]) == (40, 20)
    assert "offsets 40 to 59 no longer exist" in bridge.output
    assert (source.arrived(), source.committed) == (80, 100)


def test_offsets_that_expire_while_the_bridge_runs_are_an_error_that_names_them(
    source, run_bridge, client
):
    source.send(50)
    bridge = run_bridge("kafka_to_ps", *source.flags, client)
    until(lambda: source.arrived() == 50, "the bridge reads")
    with paused(bridge):
        time.sleep(5 * FETCH_MAX_WAIT_MS / 1000)  # no fetch is under way any more
        for _ in range(3):
            source.send(50, "more")
        source.expire_before(130)
    line = fails(bridge)
    assert f"read {source.topic}/0: offsets 50 to 129 no longer exist" in line


def test_a_topic_made_anew_behind_the_bridges_back_is_no_continuation_of_the_old_one(
    source, run_bridge, client
):
    source.send(50)
    bridge = run_bridge("kafka_to_ps", *source.flags, "--commit_interval_s=0.5", client)
    until(lambda: source.arrived("old") == 50 and source.committed == 50, "the old is delivered")
    with paused(bridge):
        source.make_anew(200)
    line = fails(bridge)
    assert f"read {source.topic}/0: the topic was deleted and made again" in line
    bridge = run_bridge("kafka_to_ps", *source.flags, CONTINUE, client)
    until(lambda: source.arrived("new") == 200, "all of the new topic is delivered")
    bridge.stop()


def test_a_topic_made_anew_is_read_from_its_beginning_when_asked_to_continue(source, run_bridge):
    source.send(50)
    bridge = run_bridge("kafka_to_ps", *source.flags, CONTINUE, "--max_rate=20")
    until(lambda: source.arrived("old") > 10, "some of the old is delivered")
    with paused(bridge):
        source.make_anew(200)
    until(lambda: source.arrived("new") == 200, "all of the new topic is delivered")
    bridge.stop()
    assert "the topic was deleted and made again" in bridge.output


def test_an_offset_that_was_committed_of_another_topic_of_that_name_is_not_gone_on_from(
    kafka, source, run_bridge
):
    source.send(50)
    kafka.admin.commit(
        source.topic, {(source.topic, 0): 30}, {(source.topic, 0): f"topic_id={uuid.uuid4()}"}
    )
    line = fails(run_bridge("kafka_to_ps", *source.flags))
    assert "made again; what it held from offset 30 on is gone" in line
    assert source.arrived() == 0
    run_bridge("kafka_to_ps", *source.flags, CONTINUE, "--max_messages=50").wait()
    assert source.arrived() == 50
    assert run_bridge("kafka_to_ps", *source.flags, "--idle_seconds=1").wait()["read"] == 0


def test_a_topic_that_is_deleted_with_records_unread_is_an_error_that_names_them(
    source, run_bridge, client
):
    source.send(500)
    bridge = run_bridge("kafka_to_ps", *source.flags, "--max_rate=20", client)
    until(lambda: source.arrived() > 10, "some are delivered")
    source.delete()
    line = fails(bridge)
    assert re.search(
        rf"read {source.topic}/0: the topic was deleted; what it held from offset \d+ (to|on)", line
    )
