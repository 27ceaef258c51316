"""The peers of the benchmark do the work that they are measured at, on the embedded stack."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator

import pytest
from ends import until

from benchmarks.systems.benthos import Benthos
from benchmarks.systems.connector import Connector
from benchmarks.systems.jobs import Direction, Job, System
from transforms.records import KafkaRecord, PubsubRecord

COUNT = 1_000
PAYLOADS = [b"%04d" % n + os.urandom(996) for n in range(COUNT)]
BIG = os.urandom(1_000_000)


@pytest.fixture(params=[Connector, Benthos])
def peer(request) -> System:
    system = request.param()
    assert system.absent() == ""
    return system


@pytest.fixture
def job(stack, kafka, pubsub, unique, tmp_path):
    """Makes one, with its topics and its subscription."""

    def make(direction: Direction) -> Job:
        kafka_topic = kafka.create(unique, max_message_bytes="11000000")
        topic, subscription = pubsub.create(unique)
        ends = (stack.bootstrap_servers, stack.pubsub_emulator_host, kafka_topic)
        return Job(direction, *ends, topic, subscription, f"group-{unique}", tmp_path)

    return make


@contextlib.contextmanager
def running(peer: System, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    process = peer.start(job)
    try:
        yield process
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.wait(10)


def test_a_peer_brings_all_records_with_their_headers_to_pubsub_and_commits(
    peer, job, kafka, pubsub
):
    job = job("kafka_to_ps")
    headers = (("trace", b"7f3a"),)
    kafka.send(KafkaRecord(job.kafka_topic, None, None, None, value=v) for v in PAYLOADS)
    kafka.send([KafkaRecord(job.kafka_topic, None, None, None, value=BIG, headers=headers)])
    with running(peer, job):
        messages = pubsub.receive(job.subscription, COUNT + 1)
        until(lambda: kafka.committed(job.group_id) == COUNT + 1, "all committed")
    assert sorted(m.data for m in messages) == sorted([*PAYLOADS, BIG])
    (attributes,) = (m.attributes for m in messages if m.data == BIG)
    assert attributes["trace"] == "7f3a"
    offsets = {value for name, value in attributes.items() if re.fullmatch("kafka.offset", name)}
    assert offsets == {str(COUNT)}


def test_a_peer_brings_all_messages_with_their_attributes_to_kafka(peer, job, kafka, pubsub):
    job = job("ps_to_kafka")
    pubsub.send(job.pubsub_topic, [PubsubRecord(data) for data in PAYLOADS])
    pubsub.send(job.pubsub_topic, [PubsubRecord(BIG, {"trace": "7f3a"})])
    with running(peer, job):
        records = kafka.receive(job.kafka_topic, COUNT + 1)
    assert sorted(r.value for r in records) == sorted([*PAYLOADS, BIG])
    (headers,) = (dict(r.headers) for r in records if r.value == BIG)
    assert headers["trace"] == b"7f3a"


def test_what_stands_before_the_emulator_ends_with_the_connector(job):
    job = job("kafka_to_ps")
    peer = Connector()
    assert peer.absent() == ""
    with running(peer, job):
        properties = (job.folder / "connector.properties").read_text()
        (port,) = re.findall(r"cps.endpoint=localhost:(\d+)", properties)
        socket.create_connection(("127.0.0.1", int(port)), 10).close()
    until(lambda: _refused(int(port)), "the front is gone")


def _refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0
