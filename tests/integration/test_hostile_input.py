"""Hostile input: no crash loop, no unbounded memory, nothing of a payload or a secret in a log."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import confluent_kafka
import pytest
from ends import DEADLINE_S, PROJECT, ROOT, Bridge, until
from google.pubsub_v1 import types
from grpc import StatusCode
from hostile import (
    DECEIT,
    MARKER,
    SECRET,
    LyingPubSub,
    Relay,
    Server,
    Watch,
    assert_harmless,
    assert_honest,
    http_error,
    huge_length,
    random_bytes,
    refusing_broker,
)

from transforms.dead_letter import DeadLetter
from transforms.dead_letters.files import FileDeadLetterSource
from transforms.dead_letters.kafka import KafkaDeadLetterSource
from transforms.dead_letters.places import Place, open_sink
from transforms.kafka.client import ProducerConfig
from transforms.records import KafkaRecord, PubsubRecord

BOUND_BYTES = 1_000_000_000
"""Of resident memory, whatever comes in."""

IDLE_BYTES = 300_000_000
"""The same where nothing is to be kept."""

ENDS_S = 2 * DEADLINE_S
"""A bridge that ends by itself has ended by then, also on a machine that does much else."""

HUGE_BYTES = 100_000_000

VALUE = f"{MARKER} {DECEIT}".encode()
NAME = DECEIT.replace("\0", "")
"""Of a header: what librdkafka can write."""


def ended(bridge: Bridge, status: int) -> str:
    """Waits for its end, with this status, honest to the last line; returns that line."""
    try:
        found = bridge.process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"still running:\n{bridge.output}") from None
    assert found == status, bridge.output
    assert_honest(bridge)
    return bridge.output.splitlines()[-1]


def letters_in(source) -> list:
    try:
        return [found.letter for batch in source.read() for found in batch]
    finally:
        source.close()


# -- one bad service, one line --------------------------------------------------------------------

SUBSCRIPTION = f"{PROJECT}/subscriptions/hostile"
TO_KAFKA = ("ps_to_kafka", f"--subscription={SUBSCRIPTION}", "--kafka_topic=hostile")
TO_PUBSUB = (
    "kafka_to_ps",
    "--kafka_topics=hostile",
    "--group_id=hostile",
    f"--pubsub_topic={PROJECT}/topics/hostile",
)
SASL = (
    "--kafka_config=security.protocol=SASL_PLAINTEXT",
    "--kafka_config=sasl.mechanism=PLAIN",
    "--kafka_config=sasl.username=user",
    "--kafka_config=sasl.password=env:PLANTED",
)
FOREIGN = "projects/someone-else/subscriptions/theirs"


class Case(NamedTuple):
    """A bridge that ends by itself.

    Attributes:
      broker: serves each connection in Kafka's place; None is for the real one.
      service: the same in Pub/Sub's place, or which of its methods fail with which status.
      says: what its last line has in it.
    """

    command: tuple[str, ...]
    status: int = 2
    broker: Callable[[socket.socket], None] | None = None
    service: Callable[[socket.socket], None] | dict[str, list] | None = None
    says: str = "forged"


CASES = {
    "Kafka is random bytes": Case(TO_KAFKA, broker=random_bytes, says="127.0.0.1"),
    "Kafka is a huge length": Case(TO_PUBSUB, broker=huge_length, says="127.0.0.1"),
    "Kafka is an HTTP error": Case(TO_PUBSUB, broker=http_error, says="127.0.0.1"),
    "Pub/Sub is random bytes": Case(TO_KAFKA, service=random_bytes, says=SUBSCRIPTION),
    "Pub/Sub is a huge length": Case(TO_PUBSUB, service=huge_length, says=PROJECT),
    "Pub/Sub is an HTTP error": Case(TO_PUBSUB, service=http_error, says=PROJECT),
    "another project's subscription": Case(
        (*TO_KAFKA, f"--subscription={FOREIGN}"), says=f"{FOREIGN}: it does not exist"
    ),
    "a log-in is refused": Case((*TO_PUBSUB, *SASL), broker=refusing_broker),
    "a topic is refused": Case(TO_PUBSUB, service={"GetTopic": [StatusCode.INVALID_ARGUMENT]}),
    "a subscription fails": Case(TO_KAFKA, service={"GetSubscription": [StatusCode.INTERNAL]}),
    "a pull fails": Case(TO_KAFKA, 1, service={"Pull": [StatusCode.FAILED_PRECONDITION]}),
    "a message is refused": Case(
        (*TO_PUBSUB, "--max_messages=3"),
        1,
        service={"Publish": [StatusCode.UNAVAILABLE, StatusCode.INVALID_ARGUMENT]},
    ),
    "a member of the group": Case((*TO_PUBSUB, "--group_id=members", "--reset_offsets")),
}
"""Who is hostile; services use deceitful words."""

AT_ONCE = 3
"""Bridges; more of them would pass their deadlines on two cores."""


@contextmanager
def member(stack, admin) -> Iterator[None]:
    """The group `members` has one, with a deceitful name."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": "members",
            "client.id": NAME,
            "max.poll.interval.ms": 3_600_000,
        }
    )
    try:
        consumer.subscribe(["hostile"])
        until(lambda: consumer.poll(0.1) or admin.group_members("members"), "it is a member")
        yield
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def cases(request, kafka, pubsub, stack, tmp_path_factory):
    """By name a future of the bridge that has ended, and of the memory that it had."""
    chosen = [i.callspec.params["name"] for i in request.session.items if "cases" in i.fixturenames]
    kafka.create("hostile")
    kafka.send(KafkaRecord("hostile", value=VALUE) for _ in range(3))
    pubsub.create("hostile")

    def run(case: Case, folder: Path) -> tuple[Bridge, int]:
        env, brokers = {**stack.env(), "PLANTED": SECRET}, stack.bootstrap_servers
        with ExitStack() as opened:
            if case.broker is not None:
                brokers = opened.enter_context(Server(case.broker)).address
            if case.service is not None:
                lies = isinstance(case.service, dict)
                service = LyingPubSub(case.service) if lies else Server(case.service)
                env["PUBSUB_EMULATOR_HOST"] = opened.enter_context(service).address
            pipeline, *flags = case.command
            flags.append(f"--bootstrap_servers={brokers}")
            bridge = opened.enter_context(Bridge(pipeline, folder, env, *flags))
            with Watch(bridge) as watch:
                bridge.process.wait(ENDS_S)
            return bridge, watch.largest_bytes

    with member(stack, kafka.admin), ThreadPoolExecutor(AT_ONCE) as pool:
        folders = {name: tmp_path_factory.mktemp("case") for name in chosen}
        yield {name: pool.submit(run, CASES[name], folder) for name, folder in folders.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_service_makes_one_honest_line_and_an_exit_status(cases, name):
    case = CASES[name]
    bridge, largest_bytes = cases[name].result(2 * ENDS_S)
    line = ended(bridge, case.status)
    assert len(bridge.output.splitlines()) == 1 or case.status == 1
    assert case.says in line
    assert 0 < largest_bytes < IDLE_BYTES


# -- in mid-stream ---------------------------------------------------------------------------------


def test_connections_to_pubsub_that_turn_to_garbage_are_opened_anew_and_lose_nothing(
    kafka, pubsub, stack, tmp_path, unique
):
    topic_in, subscription_in = pubsub.create(f"{unique}-in")
    topic_out, subscription_out = pubsub.create(f"{unique}-out")
    source, destination = kafka.create(f"{unique}-from"), kafka.create(f"{unique}-to")
    data = {b"%d" % n for n in range(1_000)}
    pubsub.send(topic_in, [PubsubRecord(one) for one in data])
    kafka.send(KafkaRecord(source, value=one) for one in data)
    with Relay(stack.pubsub_emulator_host) as relay, ExitStack() as running:
        env = {**stack.env(), "PUBSUB_EMULATOR_HOST": relay.address}

        def start(pipeline: str, *flags: str) -> Bridge:
            bridge = Bridge(pipeline, tmp_path, env, "--max_rate=200", *flags)
            return running.enter_context(bridge)

        there = start(
            "ps_to_kafka", f"--subscription={subscription_in}", f"--kafka_topic={destination}"
        )
        back = start(
            "kafka_to_ps",
            f"--kafka_topics={source}",
            f"--group_id={unique}",
            f"--pubsub_topic={topic_out}",
        )
        arrived = set()

        def returned() -> int:
            arrived.update(message.data for message in pubsub.pull(subscription_out))
            return len(arrived)

        until(lambda: kafka.size(destination) > 100 and returned() > 100, "both deliver")
        with relay.turned_to_garbage():
            until(lambda: relay.spoilt >= 3, "garbage, again and again")
        assert returned() < 1_000, "the garbage came too late"
        until(lambda: returned() == 1_000 and kafka.size(destination) >= 1_000, "all is delivered")
        assert {record.value for record in kafka.receive(destination)} == data == arrived
        for bridge in (there, back):
            bridge.stop()
            assert_honest(bridge)


# -- large and many --------------------------------------------------------------------------------


def send_compressed(stack, topic: str, *values: bytes) -> None:
    """Records that are small on the wire, and as large as they are."""
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "message.max.bytes": 2 * HUGE_BYTES,
            "compression.type": "gzip",
        }
    )
    for value in values:
        producer.produce(topic, value)
        assert producer.flush(DEADLINE_S) == 0


def test_a_record_of_100_mb_stops_the_bridge_by_name_or_is_put_aside_whole(
    kafka, pubsub, run_bridge, stack, unique, client
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, max_message_bytes="1000000")
    dead = kafka.create(f"{unique}-dead", max_message_bytes="1100000")
    huge = MARKER.encode().ljust(HUGE_BYTES, b".")
    send_compressed(stack, unique, b"first", huge, b"last")
    flags = [
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--max_messages=3",
        client,
    ]
    bridge = run_bridge("kafka_to_ps", *flags)
    with Watch(bridge) as watch:
        line = ended(bridge, 1)
        assert f"{unique}/0@1" in line
        assert "--dead_letter" in line
    assert watch.largest_bytes < BOUND_BYTES
    bridge = run_bridge("kafka_to_ps", *flags, f"--dead_letter=kafka://{dead}")
    with Watch(bridge) as watch:
        ended(bridge, 0)
    assert watch.largest_bytes < BOUND_BYTES
    assert (bridge.report["delivered"], bridge.report["dead_lettered"]) == (2, 1)
    arrived = {message.data for message in pubsub.receive(subscription, 2)}
    assert arrived == {b"first", b"last"}
    [letter] = letters_in(KafkaDeadLetterSource(kafka.config, dead, f"{unique}-look"))
    assert letter.original.value == huge


def test_header_bombs_and_deceitful_names_pass_or_are_put_aside_and_say_nothing_of_themselves(
    kafka, pubsub, run_bridge, unique, tmp_path, client
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, max_message_bytes="11000000")
    mark, million = MARKER.encode(), 1_000_000
    bombs = [
        KafkaRecord(unique, value=VALUE, headers=tuple((f"h{n}", mark) for n in range(50_000))),
        KafkaRecord(unique, value=VALUE, headers=(("n" * million, mark),) * 3),
        KafkaRecord(unique, value=VALUE, headers=(("v", mark.ljust(5 * million)),) * 2),
        KafkaRecord(unique, key=VALUE, value=VALUE, headers=((NAME, VALUE), (NAME, VALUE))),
        KafkaRecord(unique, key=mark * 100, value=VALUE, headers=((NAME, VALUE),)),
        KafkaRecord(unique, value=VALUE, headers=((f"goog{NAME}", VALUE), (NAME * 9, VALUE))),
    ]
    kafka.send(bombs)
    running = {
        attributes: run_bridge(
            "kafka_to_ps",
            f"--kafka_topics={unique}",
            f"--group_id={unique}-{attributes}",
            f"--pubsub_topic={topic}",
            f"--dead_letter={tmp_path / attributes}",
            f"--attributes={attributes}",
            f"--max_messages={len(bombs)}",
            client,
        )
        for attributes in ("metadata", "lossless")
    }
    with Watch(running["metadata"]) as watch:
        for bridge in running.values():
            ended(bridge, 0)
    assert watch.largest_bytes < BOUND_BYTES
    report = running["metadata"].report
    assert (report["delivered"], report["dead_lettered"]) == (len(bombs), 0)
    assert report["fields_dropped"] > 49_000
    report = running["lossless"].report
    assert report["delivered"] + report["dead_lettered"] == len(bombs)
    letters = letters_in(FileDeadLetterSource(str(tmp_path / "lossless")))
    assert len(letters) == report["dead_lettered"] >= 3
    assert {message.data for message in pubsub.receive(subscription, len(bombs))} == {VALUE}


# -- the bridge's own words ------------------------------------------------------------------------


def test_a_service_that_lies_in_every_field_it_has_gets_no_word_into_the_log_unescaped(
    kafka, start, unique, tmp_path, client
):
    kafka.create(unique, max_message_bytes="1000000")
    full = {f"{n:03}{NAME}".ljust(200, "n"): DECEIT.ljust(1_000, "v") for n in range(100)}
    messages = [
        types.PubsubMessage(data=VALUE, attributes={"bridge.origins": DECEIT, "key": DECEIT}),
        types.PubsubMessage(data=VALUE, attributes=full, ordering_key=f"{MARKER}{DECEIT}"),
        types.PubsubMessage(data=VALUE, attributes={f"{DECEIT}": DECEIT, "kafka.topic": DECEIT}),
        types.PubsubMessage(data=MARKER.encode().ljust(HUGE_BYTES)),
    ]
    for number, message in enumerate(messages):
        message.message_id = f"{number}{DECEIT}"
        message.publish_time = datetime.fromtimestamp(1_700_000_000, timezone.utc)
    errors = {
        "Pull": [StatusCode.UNAVAILABLE, None],
        "Acknowledge": [StatusCode.UNAVAILABLE, StatusCode.INTERNAL, None],
    }
    with LyingPubSub(errors, messages) as service:
        bridge = start(
            "ps_to_kafka",
            f"--subscription={PROJECT}/subscriptions/lies",
            f"--kafka_topic={unique}",
            f"--dead_letter={tmp_path / 'dead'}",
            f"--max_messages={len(messages)}",
            client,
            PUBSUB_EMULATOR_HOST=service.address,
        )
        with Watch(bridge) as watch:
            ended(bridge, 0)
        assert service.acknowledged == len(messages)
    assert (bridge.report["delivered"], bridge.report["dead_lettered"]) == (3, 1)
    assert bridge.report["fields_dropped"] >= 2
    assert watch.largest_bytes < BOUND_BYTES
    assert "forged" in bridge.output, "the words themselves are worth reading"
    assert {record.value for record in kafka.receive(unique, 3)} == {VALUE}


@pytest.fixture
def start(tmp_path, stack):
    """Starts a bridge with variables of its own; it does not outlive the test."""
    with ExitStack() as running:

        def start(pipeline: str, *flags: str, **env: str) -> Bridge:
            bridge = Bridge(pipeline, tmp_path, {**stack.env(), **env}, *flags)
            return running.enter_context(bridge)

        yield start


def test_what_is_refused_with_deceitful_words_is_put_aside_with_them(
    kafka, start, unique, tmp_path
):
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, value=VALUE) for _ in range(3))
    with LyingPubSub({"Publish": [StatusCode.INVALID_ARGUMENT]}) as service:
        bridge = start(
            "kafka_to_ps",
            f"--kafka_topics={unique}",
            f"--group_id={unique}",
            f"--pubsub_topic={PROJECT}/topics/lies",
            f"--dead_letter={tmp_path / 'dead'}",
            "--max_messages=3",
            PUBSUB_EMULATOR_HOST=service.address,
        )
        ended(bridge, 0)
    assert bridge.report["dead_lettered"] == 3
    letters = letters_in(FileDeadLetterSource(str(tmp_path / "dead")))
    assert [letter.original.value for letter in letters] == [VALUE] * 3
    assert "forged" in bridge.output


def test_in_debug_too_nothing_of_a_payload_is_logged(kafka, pubsub, start, unique):
    topic_in, subscription = pubsub.create(f"{unique}-in")
    topic_out, _ = pubsub.create(f"{unique}-out")
    source, destination = kafka.create(f"{unique}-from"), kafka.create(f"{unique}-to")
    mark = MARKER.encode()
    pubsub.send(topic_in, [PubsubRecord(mark, {"name": MARKER}, MARKER)] * 3)
    kafka.send([KafkaRecord(source, key=mark, value=mark, headers=(("name", mark),))] * 3)
    flags = ["--debug", "--max_messages=3"]
    running = [
        start(
            "ps_to_kafka",
            f"--subscription={subscription}",
            f"--kafka_topic={destination}",
            *flags,
        ),
        start(
            "kafka_to_ps",
            f"--kafka_topics={source}",
            f"--group_id={unique}",
            f"--pubsub_topic={topic_out}",
            *flags,
        ),
    ]
    for bridge in running:
        assert bridge.wait()["delivered"] == 3
        assert " DEBUG " in bridge.output
        assert_harmless(bridge.output)


# -- tables ----------------------------------------------------------------------------------------


def shown(stack, module: str, *flags: str) -> subprocess.Popen:
    """Starts a command whose output is read by `harmless`."""
    command = [sys.executable, "-m", f"pipelines.{module}", *flags]
    env = {**os.environ, **stack.env()}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def harmless(process: subprocess.Popen, status: int) -> str:
    """What a command has printed, checked."""
    with process:
        streams = process.communicate(timeout=ENDS_S)
    assert process.returncode == status, streams[1]
    for text in map(bytes.decode, streams):
        assert_harmless(text)
        assert not re.search("^2026-01-01", text, re.MULTILINE)
    return streams[0].decode()


def test_a_sample_of_deceitful_records_is_shown_without_their_effects(kafka, pubsub, stack, unique):
    topic, _ = pubsub.create(unique)
    kafka.create(unique)
    kafka.send(
        KafkaRecord(unique, key=key, value=VALUE, headers=((name, VALUE), (f"goog{name}", VALUE)))
        for name in (NAME, NAME * 9)
        for key in (VALUE, VALUE * 99, b"\xff")
    )
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--pubsub_topic={topic}"]
    flags += ["--sample=10", "--ordering_key=key"]
    table, as_json = (shown(stack, "preflight", *flags, *more) for more in ([], ["--json"]))
    assert f"{unique}/0@0" in harmless(table, 1)
    assert json.loads(harmless(as_json, 1))["sampled"] == 6


def test_deceitful_letters_are_shown_without_their_effects(kafka, stack, unique):
    dead = kafka.create(unique, max_message_bytes="1100000")
    there = kafka.create(f"{unique}-to")
    originals = [
        KafkaRecord("alerts", 3, 7, 1, key=VALUE, value=VALUE, headers=((NAME, VALUE),)),
        KafkaRecord(f"alerts{DECEIT}", 3, 7, 1, key=VALUE, value=VALUE),
        PubsubRecord(VALUE, {DECEIT: DECEIT}, DECEIT, DECEIT, 1),
    ]
    letters = [
        DeadLetter(original, "kafka_to_ps", "map", f"Error{DECEIT}", DECEIT, 1, 1, DECEIT)
        for original in originals
    ]
    producer = ProducerConfig(max_message_bytes=1_000_000)
    with closing(open_sink(Place("kafka", dead), kafka.config, producer, DEADLINE_S)) as sink:
        sink.write(letters, DEADLINE_S)
    flags = [f"--from=kafka://{dead}", f"--to=kafka://{there}", "--dry_run"]
    redrive = shown(stack, "redrive", f"--bootstrap_servers={stack.bootstrap_servers}", *flags)
    assert "forged" in harmless(redrive, 0)
