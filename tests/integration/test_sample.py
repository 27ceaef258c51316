"""`python -m pipelines.preflight --sample N` beside real servers: what it says, and that it leaves
everything as it was.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import confluent_kafka
import pytest
from ends import until
from kafka import KafkaAdminClient

from transforms import origins
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord

ROOT = Path(__file__).parents[2]
LONG_AGO_MS = 1_700_000_000_000
LONG_S = 600
"""An ack deadline that no test waits for: what comes again was given back."""


def start(stack, *flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.preflight", *flags],
        cwd=ROOT,
        env={**os.environ, **stack.env()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def preflight(stack, *flags: str, status: int = 0) -> dict:
    """Runs it to its end; returns its JSON."""
    process = start(stack, "--json", *flags)
    shown, errors = process.communicate(timeout=100)
    assert process.returncode == status, errors
    return json.loads(shown)


def rows(result: dict) -> list[tuple]:
    return [tuple(row.values()) for row in result["kinds"]]


def from_kafka(name: str) -> list[str]:
    return [
        f"--kafka_topics={name}",
        f"--group_id={name}",
        f"--pubsub_topic=projects/test/topics/{name}",
    ]


def from_pubsub(name: str) -> list[str]:
    return [f"--subscription=projects/test/subscriptions/{name}", f"--kafka_topic={name}"]


def all_groups(kafka) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=kafka.config.bootstrap_servers)
    try:
        return {group["group_id"] for group in admin.list_groups()}
    finally:
        admin.close()


# -- Kafka -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["librdkafka", "kafka-python"])
def test_each_kind_of_record_is_told_and_the_group_is_not_touched(
    kafka, pubsub, stack, unique, client
):
    kafka.create(unique, 2)
    topic, _ = pubsub.create(unique)
    packed = to_kafka(
        PubsubRecord(b"d", {"a": "b"}, "", "1", LONG_AGO_MS),
        ToKafkaPolicy(unique, Attributes.LOSSLESS),
    )._replace(made_from=None)
    been_there = ((("bridge.origins"), origins.of_pubsub(topic).encode()),)
    fields = [
        {"key": b"plain", "headers": (("a", b"1"), ("b", b"2"))},
        {"key": b"\xff"},
        {"key": b"\xfe", "headers": (("n", None),)},
        {"headers": been_there},
        {"headers": tuple((f"h{n}", b"\xff" * 1024) for n in range(200))},
    ]
    kafka.send(
        [KafkaRecord(unique, 0, None, LONG_AGO_MS, **{"value": b"v", **f}) for f in fields]
        + [packed._replace(partition=1), KafkaRecord(unique, 1, None, LONG_AGO_MS, value=None)]
    )
    flags = [*from_kafka(unique), f"--kafka_client={client}", "--sample=50"]
    result = preflight(stack, *flags, "--attributes=lossless", status=1)
    assert result["pipeline"] == "kafka_to_ps"
    assert result["sampled"] == 7
    assert [row for row in rows(result) if row[0] != "dead letter"] == [
        ("return", "it has been at the destination before", 1, f"{unique}/0@3"),
        ("spills", "key: it is not UTF-8", 2, f"{unique}/0@1"),
        ("spills", "header: it is null", 1, f"{unique}/0@2"),
        ("spills", "value: it is null", 1, f"{unique}/1@1"),
        ("restored", "a packed message", 1, f"{unique}/1@0"),
        ("fits", "", 1, f"{unique}/0@0"),
    ]
    [(_, reason, count, example)] = [row for row in rows(result) if row[0] == "dead letter"]
    assert "takes N attributes" in reason
    assert (count, example) == (1, f"{unique}/0@4")
    assert result["largest"]["payload"]["name"] == f"{unique}/0@4"
    assert result["source"]["offsets_to_read"] == 7
    assert kafka.committed(unique) == 0
    assert kafka.admin.group_members(unique) == []
    assert unique not in all_groups(kafka)
    totals = preflight(stack, *flags, "--attributes=none", status=1)["totals"]
    assert (totals["fits"], totals["dead letter"]) == (6, 1)


def test_a_hundred_of_ten_thousand_records_are_the_newest(kafka, pubsub, stack, unique):
    kafka.create(unique, 4)
    pubsub.create(unique)
    kafka.send(
        KafkaRecord(unique, n % 4, None, LONG_AGO_MS + n, key=b"k%d" % n, value=b"v")
        for n in range(10_000)
    )
    result = preflight(stack, *from_kafka(unique), "--sample=100")
    assert result["sampled"] == 100
    assert result["totals"]["fits"] == 100
    offset = int(result["kinds"][0]["example"].partition("@")[2])
    assert offset >= 2_475
    assert result["seconds"] < 10
    assert result["notes"] == []


def test_transaction_markers_are_not_waited_for(kafka, pubsub, stack, unique):
    """Every second offset is a marker, the last one too; one transaction is still open."""
    kafka.create(unique)
    pubsub.create(unique)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.config.bootstrap_servers, "transactional.id": unique}
    )
    producer.init_transactions(30)
    for number in range(20):
        producer.begin_transaction()
        producer.produce(unique, b"v", partition=0)
        if number % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(unique, b"open", partition=0)
    producer.flush(30)
    try:
        result = preflight(stack, *from_kafka(unique), "--sample=8")
        assert (result["sampled"], result["notes"]) == (8, [])
        result = preflight(stack, *from_kafka(unique), "--sample=50")
        assert (result["sampled"], len(result["notes"])) == (10, 1)
        assert result["seconds"] < 8
    finally:
        producer.abort_transaction(30)


def test_a_busy_ordering_key_is_found_and_not_shown(kafka, pubsub, stack, unique):
    kafka.create(unique)
    pubsub.create(unique)
    kafka.send(
        KafkaRecord(unique, 0, None, LONG_AGO_MS + n, key=b"secret", value=bytes(300_000))
        for n in range(4)
    )
    flags = [*from_kafka(unique), "--sample=10"]
    [busy] = preflight(stack, *flags, "--ordering_key=key")["ordering_keys"]
    assert busy["key"].startswith("sha256:")
    assert busy["busiest_bytes_per_s"] > 1_200_000
    [busy] = preflight(stack, *flags, "--ordering_key=partition")["ordering_keys"]
    assert busy["key"] == f"{unique}/0"
    assert preflight(stack, *flags)["ordering_keys"] == []


# -- Pub/Sub ---------------------------------------------------------------------------------------


def test_each_kind_of_message_is_told_and_all_are_still_there(kafka, pubsub, stack, unique):
    topic, _ = pubsub.create(f"{unique}-topic")
    subscription = f"projects/test/subscriptions/{unique}"
    pubsub.admin.create_subscription(subscription, topic, LONG_S)
    kafka.create(unique)
    packed = to_pubsub(
        KafkaRecord("elsewhere", 3, 4, LONG_AGO_MS, value=None), ToPubsubPolicy(Attributes.LOSSLESS)
    )
    sent = [PubsubRecord(b"%d" % n, {"a": "b"}) for n in range(2_500)]
    sent += [PubsubRecord(b"name", {"pubsub.messageId": "1"}), packed]
    pubsub.send(topic, sent)
    flags = [*from_pubsub(unique), "--sample=5000"]
    result = preflight(stack, *flags, "--attributes=lossless")
    assert [row[:3] for row in rows(result)] == [
        ("spills", "attribute: its name is that of the bridge's own header", 1),
        ("restored", "a packed record", 1),
        ("fits", "", 2_500),
    ]
    assert len(result["notes"]) == 1
    result = preflight(stack, *flags, "--partition=source", status=1)
    assert result["totals"]["dead letter"] == 2_502
    assert [row[:3] for row in rows(result)] == [
        ("dead letter", "--partition=source, but attribute kafka.partition is missing", 2_501),
        ("dead letter", "its partition is not there, the topic has 1", 1),
    ]
    received = pubsub.receive(subscription, len(sent))
    assert sorted(message.data for message in received) == sorted(m.data for m in sent)
    assert kafka.size(unique) == 0


def test_an_interrupted_sample_gives_its_messages_back(kafka, pubsub, stack, unique):
    topic, _ = pubsub.create(f"{unique}-topic")
    subscription = f"projects/test/subscriptions/{unique}"
    pubsub.admin.create_subscription(subscription, topic, LONG_S)
    kafka.create(unique)
    pubsub.send(topic, [PubsubRecord(b"v")])
    process = start(stack, *from_pubsub(unique), "--sample=10")
    assert "pulling" in process.stderr.readline()
    time.sleep(1.5)  # it has the message by now, and waits 3 s for more
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=30)
    assert (process.returncode, shown) == (128 + signal.SIGTERM, "")
    messages: list[PubsubRecord] = []
    until(lambda: messages.extend(pubsub.pull(subscription, 5.0)) or messages, "the message", 30)


# -- without a sample ------------------------------------------------------------------------------


def test_the_ends_are_described_and_nothing_is_created(kafka, pubsub, stack, unique):
    pubsub.create(unique)
    process = start(stack, *from_pubsub(unique))
    shown, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert shown == ""
    assert errors.startswith(f"preflight: write {unique}: no such topic")
    assert errors.count("\n") == 1
    kafka.create(unique, 3)
    result = preflight(stack, *from_pubsub(unique))
    assert result["destination"]["partitions"] == 3
    process = start(stack, *from_pubsub(unique))
    shown, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "3 partitions" in shown


def test_the_lag_is_what_the_group_would_read(kafka, pubsub, stack, unique):
    kafka.create(unique, 2)
    pubsub.create(unique)
    kafka.send(KafkaRecord(unique, n % 2, value=b"v") for n in range(10))
    kafka.admin.commit(unique, {(unique, 0): 3})
    source = preflight(stack, *from_kafka(unique))["source"]
    assert (source["offsets_to_read"], source["committed_partitions"]) == (2 + 5, 1)
    source = preflight(stack, *from_kafka(unique), "--start=latest")["source"]
    assert source["offsets_to_read"] == 2
