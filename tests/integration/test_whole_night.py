"""A night is archived, and backfilled from Kafka and from the archive; audits find it whole.

Nothing is missing, nothing twice, nothing changed, and the live group's offsets are what they were:
with kills in between, of each step, too.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from functools import partial
from hashlib import blake2b

import fastavro
import pytest
from ends import PROJECT, until
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration

from pipelines.audit import cli
from pipelines.checks import check_again
from transforms.kafka.client import ConsumerConfig
from transforms.kafka.clients import open_consumer
from transforms.records import KafkaRecord

RECORDS, RECORDS_WITH_KILLS = 20_000, 200_000
KILLS = (4, 3, 3)
"""Of each step: ten in all."""
PARTITIONS = 4
NIGHT = "2026-11-20"
BEGIN_MS = 1_795_219_200_000 - 86_400_000
"""2026-11-20T00:00:00Z"""


@pytest.fixture
def night(kafka, pubsub, unique):
    """Two topics of a night, whose live group has read a part; a topic for each destination."""
    names = [f"{unique}_20261120_programid{n}" for n in (1, 3)]
    for name in [*names, f"{unique}-restored"]:
        kafka.create(name, PARTITIONS)
    topic = f"{PROJECT}/topics/{unique}"
    with pubsub_v1.PublisherClient() as client:
        retention = Duration(seconds=86_400)
        client.create_topic(request={"name": topic, "message_retention_duration": retention})
    live = {(name, number): 100 + number for name in names for number in range(PARTITIONS)}
    check_again(partial(kafka.admin.commit, unique, live))
    return names, topic, live


def fill(kafka, names: list[str], count: int) -> None:
    rng = random.Random(1)
    noise = rng.randbytes(2_000)
    kafka.send(
        KafkaRecord(
            names[n % 2],
            n // 2 % PARTITIONS,
            timestamp_ms=BEGIN_MS + n,
            key=b"%d" % n if n % 3 else None,
            value=b"%d:" % n + noise[n % 1_000 : n % 1_000 + 500],
            headers=(("n", b"%d" % n),) if n % 2 else (),
        )
        for n in range(count)
    )


def digest(record: KafkaRecord) -> bytes:
    """Of key, value, and the headers that the bridge does not add."""
    own = [(n, v) for n, v in record.headers if not n.startswith("kafka.")]
    parts = repr((record.key, record.value, own, record.timestamp_ms)).encode()
    return blake2b(parts, digest_size=12).digest()


def digests(kafka, topics: list[str]) -> Counter:
    """Of all that is in these topics."""
    found: Counter = Counter()
    ends = kafka.admin.end_offsets(kafka.admin.partitions(topics))
    consumer = open_consumer(kafka.config, ConsumerConfig(""))
    try:
        consumer.assign(dict.fromkeys(ends, 0))
        deadline = time.monotonic() + 120
        while found.total() < sum(ends.values()):
            assert time.monotonic() < deadline
            found.update(map(digest, consumer.poll(0.5, 5_000)))
    finally:
        consumer.close()
    return found


def archived(folder) -> Counter:
    """How often each place is in the files."""
    places: Counter = Counter()
    for path in folder.rglob("*.avro"):
        with path.open("rb") as file:
            for row in fastavro.reader(file):
                places[row["topic"], row["partition"], row["offset"]] += 1
    return places


def audit(stack, capsys, *flags: str) -> dict:
    capsys.readouterr()
    servers = f"--bootstrap_servers={stack.bootstrap_servers}"
    status = cli.main([servers, "--idle_seconds=8", "--json", *flags])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


def is_reading(running) -> bool:
    """Whether a backfill is under way, or done."""
    assert running.process.poll() in (None, 0), running.output
    return any(words in running.output for words in ("assigned", "files to read", "done already"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("count", "kills"), [(RECORDS, (0, 0, 0)), (RECORDS_WITH_KILLS, KILLS)])
def test_a_night_is_archived_and_backfilled_whole(
    night, kafka, stack, run_bridge, capsys, unique, tmp_path, count, kills
):
    names, topic, live = night
    fill(kafka, names, count)
    archive = tmp_path / "archive"
    group = f"--group_id={unique}"
    source = [f"--kafka_topics={unique}_%Y%m%d_programid1,{unique}_%Y%m%d_programid3"]
    last_night = [*source, f"--night={NIGHT}"]
    restored = f"{unique}-restored"
    often = "--commit_interval_s=0.5"
    steps = [
        [*last_night, group, f"--archive={archive}", "--file_seconds=1"],
        [*last_night, group, f"--pubsub_topic={topic}", often, "--idle_seconds=2"],
        [*last_night, f"--from_archive={archive}", f"--kafka_topic={restored}", often],
    ]
    rng = random.Random(sum(kills))
    for step, times in zip(steps, kills, strict=True):
        for _ in range(times):
            slowed = f"--max_rate={count / (1.5 * times):.0f}"
            running = run_bridge("backfill", *step, slowed)
            until(partial(is_reading, running), "it reads")
            time.sleep(rng.uniform(0.3, 2.5))
            running.kill()
        run_bridge("backfill", *step).wait(300)
        assert run_bridge("backfill", *step).wait()["read"] == 0

    assert kafka.offsets(unique) == live
    places = archived(archive)
    assert (len(places), set(places.values())) == (count, {1})
    sent, copies = digests(kafka, names), digests(kafka, [restored])
    assert sent == copies
    topics = f"--kafka_topics={','.join(names)}"
    for destination in (
        [f"--archive={archive}"],
        [f"--pubsub_topic={topic}"],
        [f"--kafka_topic={restored}"],
    ):
        found = audit(stack, capsys, topics, *destination)
        assert (found["expected"], found["delivered"], found["missing"]) == (count, count, 0)
        assert found["duplicated"] == 0
