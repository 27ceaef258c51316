"""The embedded stack for real: what it serves, where it listens, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.local.broker import MAX_MESSAGE_BYTES
from pipelines.local.stack import EmbeddedStack

ROOT = Path(__file__).parents[2]
DEADLINE_S = 90.0
LOCAL = [sys.executable, "-m", "pipelines.local"]


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedStack]:
    """A broker of this module's own, since its tests kill and pause it."""
    with EmbeddedStack(pubsub=False) as running:
        yield running


def create_topic(bootstrap_servers: str, topic: str, **config: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result(DEADLINE_S)


def produce(bootstrap_servers: str, topic: str, *values: bytes, **config: object) -> None:
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "compression.type": "none",
            **config,
        }
    )
    refused = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: refused.append(error))
    assert producer.flush(DEADLINE_S) == 0
    assert refused == [None] * len(values)


def consume(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"{topic}-readers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    try:
        values: list[bytes] = []
        deadline_s = time.monotonic() + DEADLINE_S
        while len(values) < count and time.monotonic() < deadline_s:
            message = consumer.poll(1.0)
            if message is not None and not message.error():
                values.append(message.value())
        return values
    finally:
        consumer.close()


def accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
        return True
    return False


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def becomes_true(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def listening_addresses(pid: int) -> set[str]:
    """The local addresses, as the kernel's hex, on which a process listens (Linux)."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_the_broker_stores_messages_of_11_mb_in_every_codec(kafka, unique, codec):
    value = os.urandom(11_000_000)
    # The topic's own codec makes the broker itself compress.
    create_topic(kafka.bootstrap_servers, unique, **{"compression.type": codec})
    produce(kafka.bootstrap_servers, unique, b"small", value)
    assert consume(kafka.bootstrap_servers, unique, 2) == [b"small", value]


def test_a_topic_is_not_created_by_itself(kafka, unique):
    from confluent_kafka import KafkaError, Producer

    config = {"bootstrap.servers": kafka.bootstrap_servers}
    producer = Producer(config | {"topic.metadata.propagation.max.ms": 500})
    errors = []
    producer.produce(unique, b"x", on_delivery=lambda error, _: errors.append(error.code()))
    assert producer.flush(DEADLINE_S) == 0
    assert errors == [KafkaError.UNKNOWN_TOPIC_OR_PART]


def test_transactions_commit_and_abort(kafka, unique):
    from confluent_kafka import Producer

    create_topic(kafka.bootstrap_servers, unique)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": unique})
    producer.init_transactions(DEADLINE_S)
    for value, end in (
        (b"aborted", producer.abort_transaction),
        (b"committed", producer.commit_transaction),
    ):
        producer.begin_transaction()
        producer.produce(unique, value)
        producer.flush(DEADLINE_S)
        end(DEADLINE_S)
    assert consume(kafka.bootstrap_servers, unique, 1) == [b"committed"]


def test_a_killed_broker_restarts_with_its_records(kafka, unique):
    create_topic(kafka.bootstrap_servers, unique)
    produce(kafka.bootstrap_servers, unique, b"before")
    kafka.kafka.kill()
    assert not accepts(kafka.bootstrap_servers)
    kafka.kafka.restart()
    produce(kafka.bootstrap_servers, unique, b"after")
    assert consume(kafka.bootstrap_servers, unique, 2) == [b"before", b"after"]


def test_a_paused_broker_answers_again_after_resume(kafka, unique):
    create_topic(kafka.bootstrap_servers, unique)
    kafka.kafka.pause()
    try:
        assert not kafka.kafka._answers()
    finally:
        kafka.kafka.resume()
    produce(kafka.bootstrap_servers, unique, b"after")
    assert consume(kafka.bootstrap_servers, unique, 1) == [b"after"]


def test_the_emulator_carries_messages(stack, unique):
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

    topic, name = f"projects/stack/topics/{unique}", f"projects/stack/subscriptions/{unique}"
    with PublisherClient() as publisher, SubscriberClient() as subscriber:
        publisher.create_topic(name=topic, timeout=DEADLINE_S)
        subscriber.create_subscription(name=name, topic=topic, timeout=DEADLINE_S)
        publisher.publish(topic, b"data", colour="blue").result(DEADLINE_S)
        (got,) = subscriber.pull(
            subscription=name, max_messages=1, timeout=DEADLINE_S
        ).received_messages
    assert (got.message.data, dict(got.message.attributes)) == (b"data", {"colour": "blue"})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the kernel's tables")
def test_both_servers_listen_on_loopback_only(stack):
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, as IPv4 and in IPv6
    for server in stack.servers:
        addresses = listening_addresses(server.pid)
        assert addresses, server.name
        assert addresses <= loopback, server.name


def test_run_sets_the_variables_returns_the_commands_status_and_leaves_nothing(tmp_path):
    command = (
        "import os, sys; "
        "print(os.environ['KAFKA_BOOTSTRAP_SERVERS'], os.environ['PUBSUB_EMULATOR_HOST']); "
        "sys.exit(7)"
    )
    done = subprocess.run(
        [*LOCAL, "run", "--", sys.executable, "-c", command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 7, done.stderr
    addresses = done.stdout.split()
    assert len(addresses) == 2
    for address in addresses:
        assert f"ready on {address} (" in done.stderr
        assert not accepts(address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_the_variables_and_stays_until_it_is_told_to_stop(tmp_path, number):
    up = subprocess.Popen(
        [*LOCAL, "up"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    lines = [up.stdout.readline().strip() for _ in range(2)]
    addresses = [line.partition("=")[2] for line in lines]
    assert lines == [
        f"export KAFKA_BOOTSTRAP_SERVERS={addresses[0]}",
        f"export PUBSUB_EMULATOR_HOST={addresses[1]}",
    ]
    assert all(map(accepts, addresses))
    os.killpg(up.pid, number)
    rest, _ = up.communicate(timeout=DEADLINE_S)
    assert (rest, up.returncode) == ("", 0)
    assert not any(map(accepts, addresses))
    assert list(tmp_path.iterdir()) == []


def test_nothing_outlives_a_killed_parent(tmp_path):
    script = (
        "import signal; from pipelines.local.stack import EmbeddedStack\n"
        "with EmbeddedStack() as stack:\n"
        "    print(*(server.pid for server in stack.servers), flush=True)\n"
        "    signal.pause()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(exists, pids))
    parent.kill()
    parent.communicate(timeout=DEADLINE_S)
    assert becomes_true(lambda: not any(map(exists, pids)))
    assert becomes_true(lambda: not list(tmp_path.iterdir()))


def test_a_broker_that_cannot_start_is_one_line_that_holds_the_end_of_its_log(capsys):
    from transforms.errors import PreflightError

    with (
        pytest.raises(PreflightError, match=r"start Kafka .*Xmx") as caught,
        EmbeddedStack(pubsub=False, kafka_heap="nonsense"),
    ):
        pass
    assert "\n" not in str(caught.value)
