"""From Connect's files to a bridge that goes on where the connector stopped, on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import confluent_kafka
import pytest
from ends import ROOT

from transforms.records import KafkaRecord, PubsubRecord


@pytest.fixture
def migrate(stack, tmp_path):
    """Runs the command line on a worker's file and a connector's; returns its JSON, checks it."""
    worker = tmp_path / "worker.properties"
    worker.write_text(
        f"bootstrap.servers={stack.bootstrap_servers}\n"
        "key.converter=org.apache.kafka.connect.storage.StringConverter\n"
        "value.converter=org.apache.kafka.connect.converters.ByteArrayConverter\n"
        f"offset.storage.file.filename={tmp_path}/offsets\n"
        "offset.flush.interval.ms=1000\n"
    )

    def run(name: str, text: str, status: int = 0) -> dict:
        connector = tmp_path / name
        connector.write_text(text)
        command = [sys.executable, "-m", "pipelines.migrate", "--check", "--json"]
        done = subprocess.run(
            [*command, str(connector), str(worker)],
            cwd=ROOT,
            env={**os.environ, "PUBSUB_EMULATOR_HOST": stack.pubsub_emulator_host},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == status, done.stderr
        (found,) = json.loads(done.stdout)["commands"]
        found["stderr"] = done.stderr
        return found

    return run


def commit(bootstrap_servers: str, group_id: str, topic: str, offset: int) -> None:
    """Commits an offset as a connector does."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": group_id}
    )
    try:
        place = confluent_kafka.TopicPartition(topic, 0, offset)
        consumer.commit(offsets=[place], asynchronous=False)
    finally:
        consumer.close()


def test_a_migrated_sink_goes_on_from_the_connectors_offsets(
    migrate, stack, kafka, pubsub, run_bridge, unique
):
    _, subscription = pubsub.create(unique)
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, 0, key=b"k%d" % n, value=b"%d" % n) for n in range(10))
    commit(stack.bootstrap_servers, f"connect-{unique}", unique, 4)
    found = migrate(
        "sink.properties",
        f"name={unique}\n"
        "connector.class=com.google.pubsub.kafka.sink.CloudPubSubSinkConnector\n"
        f"topics={unique}\ncps.project=test\ncps.topic={unique}\nmetadata.publish=true\n"
        "tasks.max=2\n",
    )
    assert found["pipeline"] == "kafka_to_ps"
    assert found["preflight"]["pipeline"] == "kafka_to_ps"
    run_bridge("kafka_to_ps", *found["argv"][3:], "--max_messages=6").wait()
    messages = pubsub.receive(subscription, 6)
    arrived = {(m.data, m.attributes["key"], m.attributes["kafka.offset"]) for m in messages}
    assert arrived == {(b"%d" % n, f"k{n}", str(n)) for n in range(4, 10)}
    assert kafka.committed(f"connect-{unique}") == 10


def test_a_migrated_source_goes_on_with_the_subscription(
    migrate, kafka, pubsub, run_bridge, unique
):
    topic, _ = pubsub.create(unique)
    kafka.create(unique, 2)
    pubsub.send(topic, [PubsubRecord(b"%d" % n, {"id": f"k{n}"}) for n in range(10)])
    found = migrate(
        "source.json",
        json.dumps(
            {
                "name": unique,
                "config": {
                    "connector.class": "com.google.pubsub.kafka.source.CloudPubSubSourceConnector",
                    "cps.project": "test",
                    "cps.subscription": unique,
                    "kafka.topic": unique,
                    "kafka.key.attribute": "id",
                    "kafka.record.headers": "true",
                },
            }
        ),
    )
    assert found["pipeline"] == "ps_to_kafka"
    run_bridge("ps_to_kafka", *found["argv"][3:], "--max_messages=10").wait()
    records = kafka.receive(unique, 10)
    assert {(r.key, r.value, dict(r.headers)["id"]) for r in records} == {
        (b"k%d" % n, b"%d" % n, b"k%d" % n) for n in range(10)
    }


def test_a_failed_check_is_one_line_and_exit_status_2(migrate, kafka, unique):
    kafka.create(unique)
    found = migrate(
        "sink.properties",
        f"name={unique}\n"
        "connector.class=com.google.pubsub.kafka.sink.CloudPubSubSinkConnector\n"
        f"topics={unique}\ncps.project=test\ncps.topic={unique}\n",
        status=2,
    )
    assert found["preflight"] is None
    assert unique in found["stderr"]
    assert found["stderr"].count("\n") == 1
