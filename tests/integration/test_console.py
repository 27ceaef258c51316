"""The console as its users run it: everything is printed, and nothing is left behind."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import fastavro
import pytest
from confluent_kafka.admin import AdminClient
from ends import DEADLINE_S, PROJECT, ROOT, until
from google.cloud import pubsub_v1
from schema_server import schema_registry

from pipelines.alerts import alert
from pipelines.console import cli
from transforms.records import KafkaRecord, PubsubRecord

IDLE = "--idle_seconds=2"


@pytest.fixture
def console(stack, capsys):
    """Runs it; returns what it prints, and what it says."""

    def run(*flags: str, status: int = 0) -> tuple[list[str], str]:
        capsys.readouterr()
        servers = f"--bootstrap_servers={stack.bootstrap_servers}"
        found = cli.main([servers, *flags])
        out, err = capsys.readouterr()
        assert found == status, err
        return out.splitlines(), err

    return run


@pytest.fixture
def started(stack, tmp_path):
    """Starts it as a process; returns that, and a function that reads what it has said."""
    running: list[subprocess.Popen] = []

    def start(*flags: str, stdout=subprocess.PIPE):
        said = tmp_path / f"{len(running)}.log"
        command = [sys.executable, "-m", "pipelines.console", *flags]
        with said.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **stack.env()}, stdout=stdout, stderr=log
            )
        running.append(process)
        return process, said.read_text

    yield start
    for process in running:
        process.kill()
        process.wait(10)


@pytest.fixture(autouse=True)
def leaves_nothing(stack):
    """No group and no subscription of its own is there after a test."""
    yield
    with pubsub_v1.SubscriberClient() as client:
        found = client.list_subscriptions(request={"project": PROJECT}, timeout=10)
        assert [s.name for s in found if "bridge-console" in s.name] == []
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    # A broker that has just begun to keep groups cannot list them for a moment.
    until(lambda: not admin.list_consumer_groups().result(DEADLINE_S).errors, "groups")
    groups = admin.list_consumer_groups().result(DEADLINE_S).valid
    assert {"none", ""}.isdisjoint(group.group_id for group in groups)


def topic_of(name: str, retains: bool) -> str:
    topic = f"{PROJECT}/topics/{name}"
    request = {"name": topic}
    if retains:
        request["message_retention_duration"] = timedelta(hours=1)
    with pubsub_v1.PublisherClient() as client:
        client.create_topic(request=request, timeout=10)
    return topic


def values(lines: list[str]) -> list[bytes]:
    """The payloads of JSON lines."""
    found = [json.loads(line) for line in lines]
    return [base64.b64decode(f.get("value_base64") or f.get("data_base64") or "") for f in found]


# -- Kafka


def test_the_newest_records_are_printed_whole(console, kafka, unique, client):
    kafka.create(unique, 3, retention_ms="-1")
    headers = (("survey", b"ztf"), ("none", None), ("raw", b"\0\xff"))
    sent = [
        KafkaRecord(unique, n % 3, None, 1_700_000_000_000 + n, key=b"%d" % n, value=bytes([n]))
        for n in range(60)
    ]
    kafka.send([*sent[:-1], sent[-1]._replace(value=None, headers=headers)])
    lines, said = console(f"--kafka_topics={unique}", "--limit=6", "--json", client)
    assert f"{unique}: 3 partitions with 60 offsets" in said
    assert values(lines) == [*(bytes([n]) for n in range(54, 59)), b""]
    newest = json.loads(lines[-1])
    assert newest == {
        "topic": unique,
        "partition": 2,
        "offset": 19,
        "timestamp_ms": 1_700_000_000_059,
        "timestamp": "2023-11-14T22:13:20.059Z",
        "timestamp_type": "CREATE_TIME",
        "key_base64": base64.b64encode(b"59").decode(),
        "headers": [
            {"name": "survey", "value_base64": "enRm"},
            {"name": "none", "value_base64": None},
            {"name": "raw", "value_base64": "AP8="},
        ],
        "value_base64": None,
    }


def test_it_begins_where_it_is_told_to(console, kafka, unique, tmp_path):
    kafka.create(unique, 2, retention_ms="-1")
    kafka.send(KafkaRecord(unique, n % 2, None, 1000 + n, value=b"%d" % n) for n in range(40))
    topics = f"--kafka_topics=^{unique}$"
    offsets = tmp_path / "offsets.json"
    offsets.write_text(json.dumps({unique: {"1": 17}}))
    for start, count, first in (
        ("earliest", 40, 0),
        ("timestamp=1970-01-01T00:00:01.030Z", 10, 30),
        (f"offsets={offsets}", 3, 35),
    ):
        lines, _ = console(topics, f"--start={start}", "--limit=100", "--json")
        assert len(lines) == count
        assert min(map(int, values(lines))) == first
    lines, said = console(topics, "--start=earliest", "--limit=7")
    assert sum(line.startswith(f"{unique}/") for line in lines) == 7
    assert "7 records shown; --limit=N shows more" in said
    offsets.write_text(json.dumps({unique: {"1": 21}}))
    _, said = console(topics, f"--start=offsets={offsets}", status=2)
    assert "offset 21 is not there, the partition holds 0 to 20" in said


def test_an_empty_topic_is_no_error_and_a_missing_one_is(console, kafka, unique, client):
    kafka.create(unique)
    lines, said = console(f"--kafka_topics={unique}", client)
    assert lines == []
    assert f"{unique}: 1 partition without any record" in said
    lines, said = console(f"--kafka_topics={unique}", "--start=latest", IDLE, client)
    assert lines == []
    assert "0 records shown; nothing more came for 2 s" in said
    for topics in (f"{unique},{unique}-missing", f"^{unique}-missing"):
        lines, said = console(f"--kafka_topics={topics}", client, status=2)
        assert "no such topic" in said
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_follows_until_it_is_told_to_stop(started, kafka, unique, number):
    kafka.create(unique)
    kafka.send([KafkaRecord(unique, value=b"before")])
    process, said = started(f"--kafka_topics={unique}", "--follow", "--json")
    until(lambda: "waiting for what comes, until Ctrl-C" in said(), "that it waits")
    kafka.send([KafkaRecord(unique, value=b"%d" % n) for n in range(20)])
    lines = [process.stdout.readline().decode() for _ in range(20)]
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 0
    assert values(lines) == [b"%d" % n for n in range(20)]
    assert f"20 records shown; stopped ({number.name})" in said()


def test_a_night_that_has_no_topic_yet_is_waited_for_only_when_it_follows(
    console, started, kafka, unique
):
    topics = f"--kafka_topics={unique}-%Y%m%d"
    _, said = console(topics, status=2)
    assert f"read {unique}-%Y%m%d: no topic of " in said
    process, said = started(topics, "--follow", "--json")
    until(lambda: "waiting for what comes, until Ctrl-C" in said(), "that it waits")
    tonight = kafka.create(datetime.now(timezone.utc).strftime(f"{unique}-%Y%m%d"))
    kafka.send([KafkaRecord(tonight, value=b"first")])
    assert values([process.stdout.readline().decode()]) == [b"first"]
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0
    lines, _ = console(topics, "--json")
    assert values(lines) == [b"first"]


def test_whoever_stops_reading_ends_it_quietly(started, kafka, unique):
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, value=bytes(70_000)) for _ in range(50))
    process, said = started(f"--kafka_topics={unique}", "--start=earliest", "--limit=50", "--json")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    assert said().count("\n") == 1


# -- decoding


def test_an_alert_is_shown_as_json_without_its_cutouts(console, kafka, unique):
    kafka.create(unique)
    kafka.send([KafkaRecord(unique, value=alert(7))])
    shown, _ = console(f"--kafka_topics={unique}")
    assert shown[1] == f"  Avro container, {len(alert(7)):,} B; --decode shows it"
    shown, _ = console(f"--kafka_topics={unique}", "--decode")
    content = json.loads("\n".join(shown[1:]))
    assert content["objectId"] == "SAMPLE000000007"
    assert content["cutoutScience"]["stampData"].endswith(" bytes>")
    [line], _ = console(f"--kafka_topics={unique}", "--decode", "--json")
    whole = json.loads(line)["decoded"]["cutoutScience"]["stampData"]
    expected = next(fastavro.reader(io.BytesIO(alert(7))))["cutoutScience"]["stampData"]
    assert base64.b64decode(whole) == expected


def test_confluents_wire_format_is_decoded_by_the_registrys_schema(
    console, kafka, unique, monkeypatch
):
    kafka.create(unique)
    datum = io.BytesIO()
    fastavro.schemaless_writer(datum, fastavro.parse_schema("string"), "hello")
    framed = [b"\0\0\0\0\x07" + datum.getvalue(), b"\0\0\0\0\x08" + datum.getvalue()]
    kafka.send(KafkaRecord(unique, value=value) for value in framed)
    topics = f"--kafka_topics={unique}"
    monkeypatch.setenv("REGISTRY_LOGIN", "alice:hunter2")
    with schema_registry() as registry:
        registry.answers["/schemas/types"] = ["AVRO"]
        registry.add(7, "string")
        flags = ["--decode", f"--schema_registry={registry.url}"]
        shown, said = console(topics, *flags, "--schema_registry_login=env:REGISTRY_LOGIN")
        assert '  "hello"' in shown
        assert f"  not decoded: schema 8 is not in the registry {registry.url}" in shown
        assert registry.authorization == "Basic " + base64.b64encode(b"alice:hunter2").decode()
        registry.answers["/schemas/types"] = 401
        _, refused = console(topics, *flags, status=2)
        assert "it answers 401: it wants a user and a password" in refused
    assert "hunter2" not in "".join([*shown, said, refused])
    _, said = console(topics, *flags, status=2)
    assert f"the schema registry {registry.url}: no answer" in said


# -- Pub/Sub


def test_a_topics_past_is_printed_and_its_subscriptions_keep_all(console, pubsub, unique):
    topic = topic_of(unique, retains=True)
    live = f"{PROJECT}/subscriptions/{unique}"
    pubsub.admin.create_subscription(live, topic)
    sent = [PubsubRecord(b"%d" % n, {"n": str(n)}) for n in range(5)]
    pubsub.send(topic, sent)
    lines, said = console(f"--pubsub_topic={topic}", "--json", IDLE)
    assert sorted(values(lines)) == [m.data for m in sent]
    assert f"{topic}: what it keeps from " in said
    assert "5 messages shown; nothing more came for 2 s" in said
    shown, said = console(f"--pubsub_topic={topic}", "--limit=2")
    assert sum(line.startswith("message ") for line in shown) == 2
    assert len(pubsub.receive(live, 5)) == 5


def test_an_empty_pubsub_topic_is_no_error_and_a_missing_one_is(console, unique):
    topic = topic_of(unique, retains=False)
    lines, said = console(f"--pubsub_topic={topic}", IDLE)
    assert lines == []
    assert "it keeps no past; waiting for what is published from now on" in said
    assert "0 messages shown; nothing more came for 2 s" in said
    _, said = console(f"--pubsub_topic={topic}-missing", IDLE, status=2)
    assert f"{topic}-missing: it does not exist" in said


def test_what_is_published_is_followed_until_ctrl_c(started, pubsub, unique):
    topic = topic_of(unique, retains=True)
    pubsub.send(topic, [PubsubRecord(b"before")])
    process, said = started(f"--pubsub_topic={topic}", "--follow", "--json")
    until(lambda: "waiting for what is published from now on, until Ctrl-C" in said(), "waiting")
    os.set_blocking(process.stdout.fileno(), False)

    def come() -> list[str]:
        """Where the subscription begins nobody knows: sent until one is printed."""
        pubsub.send(topic, [PubsubRecord(b"after")])
        return [line.decode() for line in process.stdout.readlines()]

    assert set(values(until(come, "a message"))) == {b"after"}
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0
    assert "stopped (SIGINT)" in said()


def test_whoever_stops_reading_leaves_no_subscription(started, pubsub, unique):
    topic = topic_of(unique, retains=True)
    pubsub.send(topic, [PubsubRecord(bytes(70_000))] * 30)
    process, said = started(f"--pubsub_topic={topic}", "--limit=30", "--json")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    assert said().count("\n") == 1


def test_exactly_what_is_shown_is_taken(console, pubsub, unique):
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(b"%d" % n) for n in range(30)])
    lines, said = console(f"--subscription={subscription}", "--take", "--limit=25", "--json")
    assert "what is shown is acknowledged, and no other reader gets it" in said
    taken = values(lines)
    left = [message.data for message in pubsub.receive(subscription, 5)]
    assert len(taken) == 25
    assert sorted(taken + left, key=int) == [b"%d" % n for n in range(30)]
    lines, said = console(f"--subscription={subscription}", status=2)
    assert lines == []
    assert "say --take" in said


def test_what_nobody_saw_is_given_back(started, pubsub, unique):
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(bytes([n]) * 70_000) for n in range(30)])
    process, _ = started(f"--subscription={subscription}", "--take", "--limit=30", "--json")
    [seen] = values([process.stdout.readline().decode()])
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    left = {message.data[:1] for message in pubsub.receive(subscription, 29)}
    assert left >= {bytes([n]) for n in range(30)} - {seen[:1]}
