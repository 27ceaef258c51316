"""Archives of real streams: each offset is kept once, whatever is killed when."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest
from ends import ROOT

from transforms.avro_rows import to_kafka_record, to_pubsub_record
from transforms.records import KafkaRecord, PubsubRecord

KILLED_BEFORE_ITS_COMMIT = """
import os, signal, sys
from pipelines import archive
from transforms.kafka import session
session.KafkaSession.confirm = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(archive.main(sys.argv[1:]))
"""


def rows(folder: Path) -> list:
    """What any Avro tool reads in all files."""
    paths = sorted(folder.rglob("*.avro"))
    return [row for path in paths for row in fastavro.reader(io.BytesIO(path.read_bytes()))]


@pytest.fixture
def flags(stack, unique, tmp_path):
    return [
        f"--bootstrap_servers={stack.bootstrap_servers}",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--archive={tmp_path}/archive",
        "--idle_seconds=3",
    ]


def test_killed_between_the_closed_file_and_the_commit_each_offset_is_kept_once(
    kafka, flags, unique, run_bridge, tmp_path
):
    kafka.create(unique)
    kafka.send(KafkaRecord(unique, key=b"k", value=b"%d" % n) for n in range(100))
    command = [sys.executable, "-c", KILLED_BEFORE_ITS_COMMIT, *flags, "--file_seconds=1"]
    killed = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    kept = tmp_path / "archive"
    assert len(rows(kept)) == 100
    assert kafka.committed(unique) == 0
    for most, expected in ((60, 100), (1_000, 100)):
        run_bridge("archive", *flags, f"--max_messages={most}").wait()
        assert sorted(row["offset"] for row in rows(kept)) == list(range(expected))
    kafka.send(KafkaRecord(unique, key=b"k", value=b"%d" % n) for n in range(100, 150))
    report = run_bridge("archive", *flags).wait()
    assert (report["read"], report["delivered"]) == (50, 50)
    assert kafka.committed(unique) == 150
    records = [to_kafka_record(row) for row in rows(kept)]
    assert sorted(records, key=lambda record: record.offset) == kafka.receive(unique, 150)


def test_messages_are_kept_with_their_ids_and_come_back_as_they_were(
    stack, pubsub, unique, run_bridge, tmp_path
):
    topic, subscription = pubsub.create(unique)
    sent = [PubsubRecord(b"%d" % n, {"n": str(n)}) for n in range(100)]
    pubsub.send(topic, sent)
    run_bridge(
        *("archive", f"--subscription={subscription}", f"--archive={tmp_path}/archive"),
        *("--max_messages=100", "--file_seconds=1"),
    ).wait()
    kept = [to_pubsub_record(row) for row in rows(tmp_path / "archive" / unique)]
    assert {m._replace(message_id="", publish_time_ms=None).data for m in kept} == {
        message.data for message in sent
    }
    assert len({message.message_id for message in kept}) == 100
    assert all(message.attributes == {"n": message.data.decode()} for message in kept)
