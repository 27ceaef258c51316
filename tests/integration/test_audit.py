"""The audit as its users run it: what was lost on purpose is found, exactly, and nothing else."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import fastavro
import pytest
from confluent_kafka import Producer
from ends import DEADLINE_S, PROJECT, ROOT, until
from google.cloud import pubsub_v1
from kafka import TopicPartition

from pipelines.audit import cli
from transforms.avro_rows import KAFKA_RECORD, PUBSUB_RECORD, to_row
from transforms.dead_letter import DeadLetter
from transforms.dead_letters.places import Place, open_sink
from transforms.kafka.client import ProducerConfig
from transforms.mapping import Attributes, ToKafkaPolicy, ToPubsubPolicy, to_kafka, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord

LOST = 37
IDLE = "--idle_seconds=2"


@pytest.fixture
def audit(stack, capsys, tmp_path):
    """Runs an audit; returns its JSON, and the content of --missing."""
    missing = tmp_path / "missing.json"

    def run(*flags: str, status: int = 0) -> tuple[dict, dict]:
        capsys.readouterr()
        servers = f"--bootstrap_servers={stack.bootstrap_servers}"
        found = cli.main([servers, IDLE, "--json", f"--missing={missing}", *flags])
        out, err = capsys.readouterr()
        assert found == status, err
        return (json.loads(out), json.loads(missing.read_text())) if status < 2 else ({}, {})

    return run


@pytest.fixture
def retained(pubsub):
    """Makes a topic that keeps its past; with a subscription where one is named."""

    def create(name: str, subscription: bool = False) -> str:
        topic = f"{PROJECT}/topics/{name}"
        with pubsub_v1.PublisherClient() as client:
            client.create_topic(
                request={"name": topic, "message_retention_duration": timedelta(hours=1)},
                timeout=10,
            )
        if subscription:
            pubsub.admin.create_subscription(f"{PROJECT}/subscriptions/{name}", topic)
        return topic

    yield create
    assert temporary_subscriptions() == []


def temporary_subscriptions() -> list[str]:
    with pubsub_v1.SubscriberClient() as client:
        found = client.list_subscriptions(request={"project": PROJECT}, timeout=10)
        return [each.name for each in found if "/bridge-audit-" in each.name]


def figures(found: dict) -> dict[str, int]:
    """All counts that are not zero."""
    return {n: v for n, v in found.items() if type(v) is int and v}


def chosen(population, seed: int) -> list:
    print(f"seed {seed}")
    return random.Random(seed).sample(sorted(population), LOST)


def offsets(ranges: dict) -> set[tuple[str, int, int]]:
    """Every offset of the form that --offsets takes."""
    found = set()
    for topic, partitions in ranges.items():
        for partition, text in partitions.items():
            for part in text.split(","):
                first, _, last = part.partition("-")
                for offset in range(int(first), int(last or first) + 1):
                    found.add((topic, int(partition), offset))
    return found


def place(message: PubsubRecord) -> tuple[str, int, int]:
    return (
        message.attributes["kafka.topic"],
        int(message.attributes["kafka.partition"]),
        int(message.attributes["kafka.offset"]),
    )


def test_exactly_the_lost_offsets_are_found_and_can_be_asked_for_again(
    audit, kafka, pubsub, retained, run_bridge, unique, tmp_path
):
    kafka.create(unique, 3)
    kafka.send(KafkaRecord(unique, key=b"%d" % n, value=b"alert %d" % n) for n in range(1500))
    topic, copy = retained(unique, subscription=True), retained(f"{unique}-copy")
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}"]
    run_bridge("kafka_to_ps", *flags, f"--pubsub_topic={topic}", "--max_messages=1500").wait()
    live = f"{PROJECT}/subscriptions/{unique}"
    messages = pubsub.receive(live, 1500)
    lost = set(chosen({place(message) for message in messages}, time.time_ns()))
    pubsub.send(copy, [message for message in messages if place(message) not in lost])
    committed = kafka.offsets(unique)
    pubsub.send(topic, [PubsubRecord(b"for the live subscription")])

    found, missing = audit(*flags, f"--pubsub_topic={copy}", status=1)
    assert offsets(missing) == lost
    assert figures(found) == {
        "expected": 1500,
        "delivered": 1500 - LOST,
        "missing": LOST,
    }
    again = tmp_path / "again.json"
    again.write_text(json.dumps(missing))
    found, missing = audit(*flags, f"--pubsub_topic={copy}", f"--offsets={again}", status=1)
    assert offsets(missing) == lost
    assert figures(found) == {"expected": LOST, "missing": LOST, "others": 1500 - LOST}

    found, missing = audit(*flags, f"--pubsub_topic={topic}")
    assert missing == {}
    assert figures(found) == {"expected": 1500, "delivered": 1500, "others": 1}
    assert kafka.offsets(unique) == committed
    assert kafka.admin.group_members(unique) == []
    assert [m.data for m in pubsub.receive(live, 1)] == [b"for the live subscription"]


def test_exactly_the_lost_message_ids_are_found(audit, kafka, pubsub, retained, run_bridge, unique):
    topic, subscription = retained(unique, subscription=True), f"{PROJECT}/subscriptions/{unique}"
    copy = f"{unique}-copy"
    for name in (unique, copy):
        kafka.create(name, 2)
    pubsub.send(topic, [PubsubRecord(b"alert %d" % n, {"key": f"{n}"}) for n in range(600)])
    bridge = [f"--subscription={subscription}", f"--kafka_topic={unique}"]
    run_bridge("ps_to_kafka", *bridge, "--max_messages=600").wait()
    records = kafka.receive(unique, 600)
    assert {record.partition for record in records} == {0, 1}
    by_id = {dict(record.headers)["pubsub.messageId"].decode(): record for record in records}
    assert len(by_id) == 600
    lost = set(chosen(by_id, time.time_ns()))
    kafka.send(
        record._replace(topic=copy, partition=None) for i, record in by_id.items() if i not in lost
    )

    found, missing = audit(f"--pubsub_topic={topic}", f"--kafka_topic={copy}", status=1)
    assert set(missing["messages"]) == set(found["missing_messages"]) == lost
    assert missing["from"] <= min(missing["messages"].values())
    assert missing["to"] > max(missing["messages"].values())
    assert figures(found) == {"expected": 600, "delivered": 600 - LOST, "missing": LOST}
    found, missing = audit(*bridge)
    assert missing == {"messages": {}}
    assert figures(found) == {"expected": 600, "delivered": 600}


def test_gaps_and_expired_offsets_are_no_alarm(audit, kafka, pubsub, retained, unique, tmp_path):
    kafka.create(unique)
    topic = retained(unique)
    writer = Producer(
        {"bootstrap.servers": kafka.config.bootstrap_servers, "transactional.id": unique}
    )
    writer.init_transactions(DEADLINE_S)
    for end in [writer.commit_transaction, writer.abort_transaction] * 3:
        writer.begin_transaction()
        for number in range(5):
            writer.produce(unique, b"%d" % number, partition=0)
        writer.flush(DEADLINE_S)
        end(DEADLINE_S)
    del writer
    kept = [record for record in kafka_committed(kafka, unique) if record.offset >= 3]
    with kafka._raw_admin() as admin:
        admin.delete_records({TopicPartition(unique, 0): 3})
    pubsub.send(topic, [to_pubsub(record, ToPubsubPolicy()) for record in kept])
    ends = [f"--kafka_topics={unique}", f"--pubsub_topic={topic}"]

    found, _ = audit(*ends)
    assert figures(found) == {"expected": 12, "delivered": 12, "gaps": 21}
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({unique: {"0": "1-7,10-11"}}))
    found, _ = audit(*ends, f"--offsets={asked}")
    assert figures(found) == {
        "expected": 2,
        "delivered": 2,
        "gaps": 5,
        "expired": 2,
        "others": 10,
    }
    kafka.admin.commit(unique, {(unique, 0): 14})
    found, _ = audit(*ends, f"--group_id={unique}")
    assert found["not_due"] == 36 - 14
    assert found["missing"] == 0


def kafka_committed(kafka, topic: str) -> list[KafkaRecord]:
    """All committed records of one partition."""
    from transforms.kafka.groupless import read
    from transforms.ranges import Ranges

    end = kafka.size(topic)
    batches = read(kafka.config, {(topic, 0): Ranges(((0, end - 1),))})
    return [record for batch in batches for record in batch]


@pytest.mark.parametrize("attributes", ["metadata", "lossless"])
def test_dead_letters_returns_and_duplicates_are_told_apart(
    audit, kafka, pubsub, retained, unique, tmp_path, attributes
):
    """As bridges leave them: 0 and 1 delivered, 1 twice, 2 a dead letter, 3 came from the topic,
    4 holds a message of another one, 5 is lost."""
    kafka.create(unique)
    topic, dead = retained(unique), retained(f"{unique}-dead")
    other = PubsubRecord(b"4", {"name": "value"}, "", "9", 1_700_000_000_000)
    came = to_kafka(
        PubsubRecord(b"3", {}, "", "8", 1_700_000_000_000),
        ToKafkaPolicy(unique, Attributes(attributes), origin=origin_of(topic)),
    )
    packed = to_kafka(other, ToKafkaPolicy(unique, Attributes(attributes), origin="0" * 16))
    plain = [KafkaRecord(unique, value=b"%d" % n) for n in range(3)]
    kafka.send([*plain, came, packed, KafkaRecord(unique, value=b"5")])
    records = kafka.receive(unique, 6)
    policy = ToPubsubPolicy(Attributes(attributes))
    messages = [to_pubsub(records[n], policy) for n in (0, 1, 1, 4)]
    pubsub.send(topic, [*messages, PubsubRecord(b"foreign", {"kafka.offset": "1e9"})])
    letter = DeadLetter(records[2], "kafka_to_ps", "map", "UnmappableError", "why", 1, 1, "0.1.0")
    flags = [
        f"--kafka_topics={unique}",
        f"--pubsub_topic={topic}",
        f"--attributes={attributes}",
    ]
    expected = {
        "expected": 6,
        "delivered": 3,
        "dead_lettered": 1,
        "returned": 1,
        "missing": 1,
        "duplicated": 1,
        "others": 1,
    }
    places = {
        f"kafka://{kafka.create(f'{unique}-dead')}": Place("kafka", f"{unique}-dead"),
        f"pubsub://{dead}": Place("pubsub", dead),
        str(tmp_path / "dead"): Place("files", str(tmp_path / "dead")),
    }
    for flag, where in list(places.items())[0 if attributes == "metadata" else 2 :]:
        sink = open_sink(where, kafka.config, ProducerConfig(), DEADLINE_S)
        sink.write([letter], DEADLINE_S)
        sink.close()
        found, missing = audit(*flags, f"--dead_letter={flag}", status=1)
        assert figures(found) == expected, flag
        assert missing == {unique: {"0": "5"}}


def origin_of(topic: str) -> str:
    from transforms import origins

    return origins.of_pubsub(topic)


def test_an_archive_stands_in_for_pubsub_either_way(audit, kafka, unique, tmp_path):
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, value=b"%d" % n) for n in range(10))
    records = kafka.receive(unique, 10)
    archive = tmp_path / "archive"
    write(archive / "night" / "records.avro", KAFKA_RECORD, records[:4])
    messages = [
        to_pubsub(record, ToPubsubPolicy())._replace(
            message_id=f"10{record.offset}", publish_time_ms=1_700_000_000_000
        )
        for record in records
    ]
    write(archive / "messages.avro", PUBSUB_RECORD, [PubsubRecord(*m) for m in messages[4:9]])
    for hidden in ("_temporary/9.avro", ".partial.avro"):
        write(archive / hidden, KAFKA_RECORD, records)
    (archive / "_SUCCESS").touch()
    found, missing = audit(f"--kafka_topics={unique}", f"--archive={archive}", status=1)
    assert missing == {unique: {"0": "9"}}
    assert figures(found) == {"expected": 10, "delivered": 9, "missing": 1}

    back = f"{unique}-back"
    kafka.create(back)
    source = tmp_path / "source"
    write(source / "messages.avro", PUBSUB_RECORD, [PubsubRecord(*m) for m in messages])
    kafka.send(to_kafka(PubsubRecord(*m), ToKafkaPolicy(back)) for m in messages[1:])
    found, missing = audit(f"--archive={source}", f"--kafka_topic={back}", status=1)
    assert missing["messages"] == {"100": "2023-11-14T22:13:20.000Z"}
    found, missing = audit(f"--kafka_topics={unique}", f"--kafka_topic={back}", status=1)
    assert missing == {unique: {"0": "0"}}


def write(path, schema, records) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), map(to_row, records))


def test_a_topic_is_read_from_a_snapshot_on_or_its_past_is_refused(
    audit, kafka, pubsub, retained, unique
):
    """The emulator keeps what follows a snapshot only where the topic keeps it, too."""
    topic, live = retained(unique, subscription=True), f"{PROJECT}/subscriptions/{unique}"
    kafka.create(unique)
    pubsub.send(topic, [PubsubRecord(b"before")])
    pubsub.receive(live, 1)
    pubsub.snapshot(unique, live)
    pubsub.send(topic, [PubsubRecord(b"lost")])
    snapshot = f"--snapshot={PROJECT}/snapshots/{unique}"
    found, _ = audit(f"--pubsub_topic={topic}", f"--kafka_topic={unique}", snapshot, status=1)
    assert figures(found) == {"expected": 1, "missing": 1}
    assert [message.data for message in pubsub.receive(live, 1)] == [b"lost"]
    forgetful, _ = pubsub.create(f"{unique}-forgetful")
    for flags in ([], [snapshot]):
        audit(f"--pubsub_topic={forgetful}", f"--kafka_topic={unique}", *flags, status=2)


def test_a_signal_leaves_nothing_behind(stack, kafka, retained, unique):
    kafka.create(unique)
    command = [
        *(sys.executable, "-m", "pipelines.audit", "--idle_seconds=600"),
        f"--bootstrap_servers={stack.bootstrap_servers}",
        f"--kafka_topic={unique}",
        f"--pubsub_topic={retained(unique)}",
    ]
    audit = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **stack.env()}, stderr=subprocess.PIPE, text=True
    )
    until(temporary_subscriptions, "a temporary subscription")
    audit.send_signal(signal.SIGTERM)
    _, said = audit.communicate(timeout=DEADLINE_S)
    assert audit.returncode == 1
    assert "stopped (SIGTERM); not finished" in said
    assert temporary_subscriptions() == []
