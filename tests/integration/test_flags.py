"""Where a run begins, what it may take, and how it reads: the flags against real services."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone

import confluent_kafka
import pytest
from ends import until

from transforms.records import KafkaRecord, PubsubRecord


class Source:
    """A topic of 2 partitions with 10 old and 10 new records each, and a bridge that reads it."""

    def __init__(self, kafka, pubsub, run_bridge, unique) -> None:
        self.kafka, self._pubsub, self._run = kafka, pubsub, run_bridge
        self.topic = kafka.create(unique, 2)
        self._destination, self._subscription = pubsub.create(unique)
        self.send("old", 1_000_000_000_000)
        self.send("new", 1_500_000_000_000)

    def send(self, name: str, timestamp_ms: int | None = None) -> None:
        self.kafka.send(
            KafkaRecord(
                self.topic,
                partition,
                timestamp_ms=timestamp_ms,
                value=f"{name}-{partition}-{n}".encode(),
            )
            for n in range(10)
            for partition in (0, 1)
        )

    def start(self, *flags: str):
        return self._run(
            "kafka_to_ps",
            f"--kafka_topics={self.topic}",
            f"--group_id={self.topic}",
            f"--pubsub_topic={self._destination}",
            *flags,
        )

    def run(self, *flags: str) -> list[str]:
        """Reads all there is; returns which kinds arrived, one name a record."""
        report = self.start("--idle_seconds=1", *flags).wait()
        messages = self._pubsub.receive(self._subscription, report["delivered"])
        return sorted(m.data.decode().split("-")[0] for m in messages)


@pytest.fixture
def source(kafka, pubsub, run_bridge, unique):
    return Source(kafka, pubsub, run_bridge, unique)


def rfc3339(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, timezone.utc).isoformat()


def test_start_earliest_reads_all_and_a_restart_goes_on_from_its_commits(source):
    assert source.run("--start=earliest") == ["new"] * 20 + ["old"] * 20
    source.send("later")
    assert source.run("--start=earliest") == ["later"] * 20
    assert source.run("--start=earliest", "--reset_offsets") == (
        ["later"] * 20 + ["new"] * 20 + ["old"] * 20
    )


def test_start_latest_reads_what_comes_even_while_the_bridge_is_stopped(source):
    assert source.run("--start=latest") == []
    source.send("later")
    assert source.run("--start=latest") == ["later"] * 20


def test_start_timestamp_reads_from_the_first_record_of_that_time(source):
    assert source.run(f"--start=timestamp={rfc3339(1_400_000_000_000)}") == ["new"] * 20


def test_start_offsets_reads_from_the_offsets_of_a_file(source, tmp_path):
    file = tmp_path / "offsets.json"
    file.write_text(json.dumps({source.topic: {"0": 15, "1": 20}}))
    assert source.run(f"--start=offsets={file}") == ["new"] * 5


def test_a_transactions_end_is_committed_although_it_is_no_record(source, kafka):
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": kafka.config.bootstrap_servers,
            "transactional.id": source.topic,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(20)
    for name, end in (
        ("committed", producer.commit_transaction),
        ("aborted", producer.abort_transaction),
    ):
        producer.begin_transaction()
        producer.produce(source.topic, f"{name}-x".encode(), partition=0)
        producer.flush(20)
        end(20)
    arrived = source.run("--commit_interval_s=0.2")
    assert arrived == ["committed"] + ["new"] * 20 + ["old"] * 20
    ends = kafka.admin.end_offsets([(source.topic, 0), (source.topic, 1)])
    assert ends[source.topic, 0] == 24
    assert kafka.offsets(source.topic) == ends


def test_reset_offsets_is_refused_while_the_group_has_members(source):
    bridge = source.start()
    until(lambda: "assigned" in bridge.output, "the bridge joins")
    second = source.start("--reset_offsets", "--start=latest")
    assert second.process.wait(60) == 2
    assert f"group {source.topic}: it has members" in second.output
    bridge.stop()


def test_max_messages_takes_no_more_than_it_says(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique)
    pubsub.send(topic, [PubsubRecord(b"%d" % n) for n in range(100)])
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--max_messages=7",
    ).wait()
    assert (report["read"], report["delivered"], report["released"]) == (7, 7, 0)
    assert kafka.size(unique) == 7
    assert len(pubsub.receive(subscription, 93)) == 93


def test_streaming_pull_delivers_the_same_and_a_stop_gives_the_rest_back(
    kafka, pubsub, run_bridge, unique
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 2)
    payloads = {b"%d" % n for n in range(3_000)}
    pubsub.send(topic, [PubsubRecord(payload) for payload in payloads])
    flags = [f"--subscription={subscription}", f"--kafka_topic={unique}", "--pull=streaming"]
    first = run_bridge("ps_to_kafka", *flags, "--max_rate=500")
    until(lambda: kafka.size(unique) > 300, "300 delivered")
    delivered = first.stop()["delivered"]
    assert 300 <= delivered < 3_000
    second = run_bridge("ps_to_kafka", *flags)
    until(lambda: kafka.size(unique) >= 3_000, "the rest is delivered")
    assert delivered + second.stop()["delivered"] == 3_000
    assert {record.value for record in kafka.receive(unique)} == payloads


@pytest.mark.parametrize("form", ["now", "timestamp", "snapshot"])
def test_seek_moves_the_subscription_once_before_reading(kafka, pubsub, run_bridge, unique, form):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique)
    if form == "snapshot":
        pubsub.snapshot(unique, subscription)
    pubsub.send(topic, [PubsubRecord(b"first")])
    time.sleep(1.1)  # the emulator's clock for publish times and seeks has whole seconds
    target = {"now": "now", "timestamp": f"timestamp={rfc3339(time.time() * 1000)}"}.get(
        form, f"snapshot={unique}"
    )
    bridge = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        f"--seek={target}",
    )
    until(lambda: subscription in bridge.output, "the bridge says what it moves")
    pubsub.send(topic, [PubsubRecord(b"second")])
    expected = {b"first", b"second"} if form == "snapshot" else {b"second"}
    assert {record.value for record in kafka.receive(unique, len(expected))} == expected
    bridge.stop()


def test_a_missing_kafka_topic_is_created_as_asked(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"x", {"kafka.partition": "2", "id": "k"})])
    run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--create_topics=3:1",
        "--partition=source",
        "--key=attribute:id",
        "--max_messages=1",
    ).wait()
    (record,) = kafka.receive(unique, 1)
    assert len(kafka.admin.partitions([unique])) == 3
    assert (record.partition, record.key) == (2, b"k")


def test_a_record_that_cannot_be_carried_stops_the_bridge_and_is_named(
    kafka, pubsub, run_bridge, unique
):
    topic, _ = pubsub.create(unique)
    kafka.create(unique)
    kafka.send([KafkaRecord(unique, value=b"good"), KafkaRecord(unique, value=None)])
    bridge = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--attributes=none",
    )
    assert bridge.process.wait(60) == 1
    assert f"{unique}/0@1" in bridge.output.strip().splitlines()[-1]
    assert "Traceback" not in bridge.output
    assert bridge.report["error"]
    assert kafka.committed(unique) == 0
