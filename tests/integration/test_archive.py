"""Archives as their users keep them: by a command of its own, and beside the live bridge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fastavro
import pytest
from ends import DEADLINE_S, ROOT, Kafka, until
from measured_kafka import MeasuredKafka

from transforms.avro_rows import to_kafka_record, to_pubsub_record
from transforms.records import KafkaRecord, PubsubRecord

NOON_MS = 1_795_000_000_000
DAY_MS = 86_400_000


def nasty(topic: str, count: int) -> list[KafkaRecord]:
    """Null and binary keys and values, repeated and null headers, three days."""
    return [
        KafkaRecord(
            topic,
            n % 2,
            timestamp_ms=NOON_MS + (n % 3) * DAY_MS + n,
            key=[None, b"", b"\xff\x00", b"key"][n % 4],
            value=None if n % 7 == 0 else bytes([n % 256]) * (n % 50),
            headers=(("h", b"\xfe"), ("h", None), ("n", b"%d" % n))[: n % 4],
        )
        for n in range(count)
    ]


def rows(folder: Path) -> list[dict]:
    """All rows of all Avro files, whatever a name says."""
    found = []
    for path in folder.rglob("*.avro"):
        with path.open("rb") as file:
            found += fastavro.reader(file)
    return found


def content(records) -> Counter:
    """Of Kafka records, without where and when they were written."""
    return Counter((r.timestamp_ms, r.key, r.value, r.headers) for r in records)


def test_a_topic_comes_out_of_its_archive_as_it_went_in(
    kafka, pubsub, run_bridge, client, unique, tmp_path
):
    """Kafka -> files -> Kafka, each partition as it was; and -> Pub/Sub."""
    archive, restored = tmp_path / "archive", f"{unique}-restored"
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 2)
    kafka.create(restored, 2)
    kafka.send(nasty(unique, 300))
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--archive={archive}", client]
    report = run_bridge("archive", *flags, "--stop=now").wait()
    assert report["read"] == report["delivered"] == 300
    assert kafka.committed(unique) == 300
    sources = kafka.receive(unique)
    assert Counter(map(to_kafka_record, rows(archive))) == Counter(sources)
    assert len(list((archive / unique).glob("year=*/month=*/day=*"))) == 3

    back = [f"--from_archive={archive}", f"--kafka_topics={unique}"]
    flags = [*back, f"--kafka_topic={restored}", "--partition=source", "--attributes=none"]
    run_bridge("backfill", *flags).wait()
    copies = kafka.receive(restored, 300)
    for number in (0, 1):
        assert [r[3:8] for r in copies if r.partition == number] == [
            r[3:8] for r in sources if r.partition == number
        ]
    report = run_bridge("backfill", *back, f"--pubsub_topic={topic}", client).wait()
    messages = pubsub.receive(subscription, 300)
    places = {(m.attributes["kafka.partition"], m.attributes["kafka.offset"]) for m in messages}
    assert len(messages) == len(places) == report["delivered"] == 300
    assert run_bridge("backfill", *flags).wait()["read"] == 0


def test_messages_come_out_of_their_archive_as_they_went_in(
    kafka, pubsub, run_bridge, unique, tmp_path
):
    archive = tmp_path / "archive"
    topic, subscription = pubsub.create(unique)
    again, last = pubsub.create(f"{unique}-again")
    sent = [PubsubRecord(b"%d" % n, {"n": str(n)}) for n in range(500)]
    pubsub.send(topic, sent)
    report = run_bridge(
        "archive",
        f"--subscription={subscription}",
        f"--archive={archive}",
        "--max_messages=500",
        "--file_seconds=2",
    ).wait()
    assert report["delivered"] == 500
    kept = [to_pubsub_record(row) for row in rows(archive)]
    assert {(m.data, m.attributes["n"]) for m in kept} == {(b"%d" % n, str(n)) for n in range(500)}
    assert all(m.message_id and m.publish_time_ms for m in kept)
    [folder] = (archive / unique).glob("year=*/month=*/day=*")
    assert all(path.name.startswith(f"{unique}+") for path in folder.iterdir())
    flags = [f"--from_archive={archive}", f"--pubsub_topic={again}", "--attributes=lossless"]
    run_bridge("backfill", *flags).wait()
    assert content_of(pubsub.receive(last, 500)) == content_of(sent)


def content_of(messages) -> Counter:
    return Counter((m.data, *m.attributes.items()) for m in messages)


def test_json_lines_are_for_people(kafka, run_bridge, unique, tmp_path):
    archive = tmp_path / "archive"
    kafka.create(unique)
    kafka.send([KafkaRecord(unique, 0, timestamp_ms=NOON_MS, key=b"k", value=b'{"a": 1}')])
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--archive={archive}"]
    run_bridge("archive", *flags, "--stop=now", "--format=json", "--compression=none").wait()
    [path] = archive.rglob("*.jsonl")
    found = json.loads(path.read_text())
    assert (found["topic"], found["offset"], found["value"]) == (unique, 0, {"a": 1})


# -- repeats ---------------------------------------------------------------------------------------


def test_after_kills_each_record_is_in_the_archive_once(kafka, run_bridge, unique, tmp_path):
    """Killed between files and commits."""
    archive = tmp_path / "archive"
    kafka.create(unique, 2)
    kafka.send(nasty(unique, 3000))
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--archive={archive}"]
    for number in range(3):
        slow = run_bridge("archive", *flags, "--max_rate=500", "--file_seconds=1")
        known = set(archive.rglob("*.avro"))
        until(lambda known=known: set(archive.rglob("*.avro")) - known, f"files of run {number}")
        slow.kill()
    run_bridge("archive", *flags, "--idle_seconds=3", "--file_seconds=5").wait()
    places = Counter((row["partition"], row["offset"]) for row in rows(archive))
    assert len(places) == 3000
    assert set(places.values()) == {1}
    assert not list(archive.rglob("*.partial*/*.avro"))


KILLED_BEFORE_ITS_COMMIT = """
import os, signal, sys
from pipelines import archive
from transforms.kafka import session
session.KafkaSession.confirm = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(archive.main(sys.argv[1:]))
"""


def test_killed_between_the_closed_file_and_the_commit_each_offset_is_kept_once(
    stack, kafka, run_bridge, unique, tmp_path
):
    """The repeats end before what was left, and behind it."""
    archive = tmp_path / "archive"
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, value=b"%d" % n) for n in range(100))
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--archive={archive}"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE_ITS_COMMIT, *flags, "--stop=now"],
        cwd=ROOT,
        env={**os.environ, **stack.env()},
        timeout=DEADLINE_S,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (len(rows(archive)), kafka.committed(unique)) == (100, 0)
    run_bridge("archive", *flags, "--max_messages=60").wait()
    assert kafka.committed(unique) == 60
    assert sorted(row["offset"] for row in rows(archive)) == list(range(100))
    kafka.send(KafkaRecord(unique, value=b"%d" % n) for n in range(100, 150))
    assert run_bridge("archive", *flags, "--stop=now").wait()["delivered"] == 90
    assert sorted(row["offset"] for row in rows(archive)) == list(range(150))


def test_a_backfill_into_an_archive_takes_nothing_from_it(kafka, run_bridge, unique, tmp_path):
    """The ranges have a hole, where the live archive's records lie alone."""
    archive, ranges = tmp_path / "archive", tmp_path / "ranges.json"
    kafka.create(unique)
    kafka.send([r._replace(partition=0, timestamp_ms=NOON_MS) for r in nasty(unique, 100)])
    flags = [f"--kafka_topics={unique}", f"--group_id={unique}", f"--archive={archive}"]
    middle = ["--stop=offsets", json.dumps({unique: {"0": 70}})]
    stop = tmp_path / "stop.json"
    stop.write_text(middle[1])
    run_bridge("archive", *flags, f"--stop=offsets={stop}").wait()
    ranges.write_text(json.dumps({unique: {"0": "10-19,60-79"}}))
    run_bridge("backfill", *flags, f"--offsets={ranges}").wait()
    places = Counter(row["offset"] for row in rows(archive))
    assert places == Counter(range(80))


# -- beside the live bridge ------------------------------------------------------------------------


@pytest.fixture
def measured(tmp_path):
    server = MeasuredKafka(tmp_path / "broker")
    server.prepare()
    server.launch()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def test_a_record_is_fetched_once_for_the_destination_and_the_archive(
    measured, pubsub, run_bridge, unique, tmp_path
):
    """By the broker's own count: as much as for the destination alone."""
    ends = Kafka(measured.address)
    ends.create(unique)
    ends.send([KafkaRecord(unique, 0, value=b"%07d" % n * 100) for n in range(3000)])
    ends.close()
    topic, subscription = pubsub.create(unique)
    fetched = []
    for number, more in enumerate(([], [f"--archive={tmp_path / 'archive'}", "--file_seconds=2"])):
        before = measured.fetched_bytes(unique)
        report = run_bridge(
            "kafka_to_ps",
            f"--bootstrap_servers={measured.address}",
            f"--kafka_topics={unique}",
            f"--group_id={unique}-{number}",
            f"--pubsub_topic={topic}",
            "--stop=now",
            *more,
        ).wait()
        fetched.append(measured.fetched_bytes(unique) - before)
        assert report["delivered"] == 3000
    assert report["archived"] == len(rows(tmp_path / "archive")) == 3000
    alone, both = fetched
    assert alone > 3000 * 700
    assert both < 1.1 * alone
    assert len(pubsub.receive(subscription, 6000)) == 6000
