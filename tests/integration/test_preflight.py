"""What is wrong is said in one line, with exit status 2, within 10 s, before anything is read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ends import until
from kafka import KafkaConsumer

from pipelines import preflight
from pipelines.options import KAFKA_TO_PS, PS_TO_KAFKA, Options, parse
from transforms.deadlines import retried
from transforms.errors import PreflightError
from transforms.kafka.client import ConsumerConfig
from transforms.kafka.clients import open_consumer
from transforms.records import KafkaRecord, PubsubRecord

ROOT = Path(__file__).parents[2]
LIMIT_S = 10.0


@pytest.fixture(scope="module")
def silent_port():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def closed_port():
    """An address where nothing listens: bound, so that nothing else can, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture(scope="module")
def places(kafka, pubsub, stack, silent_port, closed_port):
    """What the command lines below name."""
    kafka.create("preflight")
    topic, subscription = pubsub.create("preflight")
    return {
        "brokers": stack.bootstrap_servers,
        "emulator": stack.pubsub_emulator_host,
        "silent": silent_port,
        "closed": closed_port,
        "topic": topic,
        "subscription": subscription,
    }


PS = (
    "ps_to_kafka --subscription={subscription} --bootstrap_servers={brokers} "
    "--kafka_topic=preflight"
)
KP = (
    "kafka_to_ps --bootstrap_servers={brokers} --kafka_topics=preflight --group_id=preflight "
    "--pubsub_topic={topic}"
)
EMULATOR = "{emulator}"


@pytest.mark.parametrize(
    ("command", "emulator", "culprit"),
    [
        (f"{PS} --bootstrap_servers={{closed}}", EMULATOR, "{closed}"),
        (f"{PS} --bootstrap_servers={{silent}}", EMULATOR, "{silent}"),
        (f"{KP} --bootstrap_servers={{closed}}", EMULATOR, "{closed}"),
        (f"{KP} --bootstrap_servers=no-such-host.invalid:9092", EMULATOR, "no-such-host.invalid"),
        (PS, "{closed}", "{subscription}"),
        (PS, "{silent}", "{subscription}"),
        (KP, "{silent}", "{topic}"),
        (f"{PS} --kafka_topic=missing-topic", EMULATOR, "missing-topic"),
        (f"{KP} --kafka_topics=preflight,missing-topic", EMULATOR, "missing-topic"),
        (f"{PS} --subscription={{subscription}}-not", EMULATOR, "{subscription}-not"),
        (f"{KP} --pubsub_topic={{topic}}-not", EMULATOR, "{topic}-not"),
        (f"{PS} --max_mesages=5", EMULATOR, "--max_messages"),
        (f"{PS} --no_such_flag=5", EMULATOR, "--no_such_flag"),
        (f"{PS} --max_messages=0", EMULATOR, "--max_messages"),
        (f"{PS} --attributes=whole", EMULATOR, "--attributes"),
        ("ps_to_kafka --subscription={subscription}", EMULATOR, "--kafka_topic"),
        ("kafka_to_ps --pubsub_topic={topic}", EMULATOR, "--group_id"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_status_2(
    places, command: str, emulator: str, culprit: str
) -> None:
    pipeline, *flags = command.format(**places).split()
    env = {**os.environ, "PUBSUB_EMULATOR_HOST": emulator.format(**places)}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", f"pipelines.{pipeline}", *flags],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    took_s = time.monotonic() - began
    assert ran.returncode == 2, ran.stderr
    assert culprit.format(**places) in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert ran.stdout == ""
    assert took_s < LIMIT_S


def test_debug_shows_the_traceback(places) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pipelines.ps_to_kafka", "--debug", "--max_messages=0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "Traceback" in ran.stderr


def to_pubsub(stack, name: str, topic: str, *flags: str) -> Options:
    """A bridge from a Kafka topic, in a group of the same name."""
    ends = [
        f"--bootstrap_servers={stack.bootstrap_servers}",
        f"--kafka_topics={name}",
        f"--group_id={name}",
        f"--pubsub_topic={topic}",
    ]
    return parse(KAFKA_TO_PS, [*ends, *flags], {})


def test_reset_offsets_moves_the_group_and_is_refused_while_it_has_members(
    kafka, pubsub, stack, unique
) -> None:
    topic, _ = pubsub.create(unique)
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, 0, key=None, value=b"v") for _ in range(5))
    partition = (unique, 0)
    retried(lambda: kafka.admin.commit(unique, {partition: 4}), 30)
    options = to_pubsub(stack, unique, topic, "--reset_offsets")
    preflight.check(options)
    assert kafka.offsets(unique) == {partition: 0}

    class Ignore:
        def on_assigned(self, partitions):
            return dict.fromkeys(partitions, 0)

        def on_revoked(self, partitions):
            pass

        on_lost = on_revoked

    member = open_consumer(kafka.config, ConsumerConfig(unique))
    try:
        member.subscribe([unique], Ignore())
        deadline = time.monotonic() + 30
        while not kafka.admin.group_members(unique) and time.monotonic() < deadline:
            member.poll(0.1, 1)
        with pytest.raises(PreflightError, match=rf"commit for group {unique}: it has members"):
            preflight.check(options)
    finally:
        member.close()


def test_a_group_that_others_share_by_another_assignor_is_refused_by_name(
    kafka, pubsub, stack, unique
) -> None:
    """As Kafka Connect's consumers do, which keep everybody else out of the group."""
    kafka.create(unique)
    topic, _ = pubsub.create(unique)
    options = to_pubsub(stack, unique, topic)
    member = KafkaConsumer(unique, group_id=unique, bootstrap_servers=stack.bootstrap_servers)
    try:

        def joined() -> str:
            member.poll(100)
            return retried(lambda: kafka.admin.group_assignor(unique), 30)

        until(joined, "a member")
        with pytest.raises(PreflightError, match=r"members \(kafka-python.* by the assignor range"):
            preflight.check(options)
    finally:
        member.close()


@pytest.mark.parametrize("ordered", [False, True])
def test_whether_a_subscription_keeps_the_order_of_ordering_keys_is_seen(
    kafka, pubsub, stack, unique, ordered
) -> None:
    _, subscription = pubsub.create(unique, ordered=ordered)
    kafka.create(unique)
    flags = [f"--kafka_topic={unique}", f"--subscription={subscription}", "--key=ordering_key"]
    said: list[str] = []
    facts = preflight.check(parse(PS_TO_KAFKA, flags, stack.env()), said.append)
    assert facts.ordered == ordered
    assert len(said) == (not ordered)


def test_create_topics_and_seek_are_done_before_the_pipeline_starts(
    kafka, pubsub, stack, unique
) -> None:
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"before")])
    options = parse(
        PS_TO_KAFKA,
        [
            f"--bootstrap_servers={stack.bootstrap_servers}",
            f"--kafka_topic={unique}",
            f"--subscription={subscription}",
            "--create_topics=3:1",
            "--seek=now",
        ],
        {},
    )
    preflight.check(options)
    assert kafka.admin.topics([unique])[unique].partitions == 3
    pubsub.send(topic, [PubsubRecord(b"after")])
    assert [message.data for message in pubsub.receive(subscription, 1)] == [b"after"]
