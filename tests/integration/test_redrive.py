"""Redrive as its users run it, from each kind of place to both kinds of destination."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from ends import DEADLINE_S, PROJECT, ROOT

from transforms.dead_letter import DeadLetter
from transforms.dead_letters.places import Place, open_sink
from transforms.kafka.client import ProducerConfig
from transforms.records import KafkaRecord, PubsubRecord

PRODUCER = ProducerConfig(max_message_bytes=11_000_000)
LARGE_KEY = b"k" * 1_025
"""No ordering key: `--ordering_key=key` cannot be kept."""


def letter(
    original: KafkaRecord | PubsubRecord,
    error_class: str = "UnmappableError",
    failed_at_ms: int = 1_800_000_000_000,
) -> DeadLetter:
    direction = "kafka_to_ps" if isinstance(original, KafkaRecord) else "ps_to_kafka"
    return DeadLetter(
        original, direction, "map", error_class, "the old reason", failed_at_ms, 1, "0.1.0"
    )


def record(offset: int, key: bytes | None = b"key", value: bytes = b"payload") -> KafkaRecord:
    return KafkaRecord("alerts", 3, offset, 1_700_000_000_000 + offset, key=key, value=value)


@dataclass
class Dead:
    """A place of dead letters of the test's own.

    Attributes:
      flag: how redrive is told of it.
    """

    flag: str
    put: Callable[[list[DeadLetter]], None]


@pytest.fixture
def dead(request, kafka, pubsub, unique, tmp_path) -> Dead:
    """The place of the kind that the test is parametrized with."""
    name = f"{unique}-dead"
    if request.param == "kafka":
        kafka.create(name)
        place, flag = Place("kafka", name), f"--from=kafka://{name}"
    elif request.param == "pubsub":
        topic, subscription = pubsub.create(name)
        place, flag = Place("pubsub", topic), f"--from=pubsub://{subscription}"
    else:
        place, flag = Place("files", str(tmp_path / "dead")), f"--from={tmp_path / 'dead'}"

    def put(letters: list[DeadLetter]) -> None:
        sink = open_sink(place, kafka.config, PRODUCER, DEADLINE_S)
        sink.write(letters, DEADLINE_S)
        sink.close()

    return Dead(flag, put)


@pytest.fixture
def redrive(stack, run_bridge):
    """Runs redrive to its end; returns its report and what it printed."""

    def run(*flags: str, status: int = 0) -> tuple[dict, str]:
        job = run_bridge("redrive", f"--bootstrap_servers={stack.bootstrap_servers}", *flags)
        assert job.process.wait(DEADLINE_S) == status, job.output
        return job.report if status < 2 else {}, job.output

    return run


every_place = pytest.mark.parametrize("dead", ["kafka", "pubsub", "files"], indirect=True)
in_files = pytest.mark.parametrize("dead", ["files"], indirect=True)


def figures(report: dict) -> tuple[int, int, int, int]:
    return report["found"], report["sent"], report["failed"], report["left"]


@every_place
def test_what_still_fails_stays_until_its_cause_is_mended_and_nothing_is_sent_twice(
    dead, redrive, pubsub, unique
):
    topic, subscription = pubsub.create(unique)
    dead.put([letter(record(1)), letter(record(2, LARGE_KEY)), letter(record(3))])

    report, printed = redrive(dead.flag, f"--to=pubsub://{topic}", "--ordering_key=key", status=1)
    assert figures(report) == (3, 2, 1, 0)
    assert report["failed_by_class"] == {"UnmappableError": 1}
    assert "alerts/3@2" in printed
    assert "the key is 1025 bytes" in printed
    assert "the old reason" not in printed
    assert "payload" not in printed

    report, _ = redrive(dead.flag, f"--to=pubsub://{topic}", "--ordering_key=partition")
    assert figures(report) == (1, 1, 0, 0)
    report, printed = redrive(dead.flag, f"--to=pubsub://{topic}", "--ordering_key=partition")
    assert figures(report) == (0, 0, 0, 0)
    assert "nothing was found that is to be sent" in printed

    messages = pubsub.receive(subscription, 3)
    assert sorted(message.attributes["kafka.offset"] for message in messages) == ["1", "2", "3"]
    assert {message.data for message in messages} == {b"payload"}


@every_place
def test_an_original_goes_back_to_its_own_system_bit_for_bit(dead, redrive, kafka, unique):
    headers = (("twice", b"1"), ("twice", b"\xff\x00"), ("null", None), ("goog", b""))
    originals = [
        KafkaRecord("alerts", 3, 17, 1_700_000_000_123, key=b"\xff", value=None, headers=headers),
        KafkaRecord("alerts", 3, 18, 1_700_000_000_124, value=bytes(range(256)) * 8_000),
    ]
    dead.put([letter(original) for original in originals])
    kafka.create(unique, partitions=4)
    redrive(dead.flag, f"--to=kafka://{unique}", "--partition=source")
    received = sorted(kafka.receive(unique, 2), key=lambda found: found.timestamp_ms)
    assert [(found.topic, found.partition) for found in received] == [(unique, 3)] * 2
    assert [found[3:8] for found in received] == [original[3:8] for original in originals]


@in_files
def test_a_message_goes_back_to_pubsub_as_it_is_and_to_kafka_by_the_mapping(
    dead, redrive, kafka, pubsub, unique, tmp_path
):
    original = PubsubRecord(
        b"\x00\xff", {"key": "k", "name": "é"}, "order", "17", 1_700_000_000_000
    )
    dead.put([letter(original)])
    topic, subscription = pubsub.create(unique, ordered=True)
    redrive(dead.flag, f"--to=pubsub://{topic}", f"--state={tmp_path / 'first.json'}")
    [message] = pubsub.receive(subscription, 1)
    assert (message.data, message.attributes, message.ordering_key) == original[:3]

    kafka.create(unique)
    redrive(dead.flag, f"--to=kafka://{unique}", "--key=ordering_key")
    [found] = kafka.receive(unique, 1)
    assert (found.key, found.value) == (b"order", original.data)
    assert dict(found.headers)["pubsub.messageId"] == b"17"
    assert dict(found.headers)["name"] == "é".encode()


@every_place
def test_a_dry_run_tells_all_but_the_payload_and_changes_nothing(
    dead, redrive, kafka, unique, tmp_path
):
    dead.put([letter(record(1)), letter(record(2), "RefusedError")])
    report, printed = redrive(dead.flag, "--dry_run")
    assert (report["would_send"], *figures(report)) == (2, 2, 0, 0, 0)
    assert "payload" not in printed
    assert "\x1b" not in printed
    rows = {row.split()[3]: row.split() for row in printed.splitlines() if " alerts/3@" in row}
    assert rows == {
        f"alerts/3@{offset}": [
            *("2027-01-15T08:00:00Z", name, "map", f"alerts/3@{offset}", "10"),
            *("the", "old", "reason"),
        ]
        for offset, name in ((1, "UnmappableError"), (2, "RefusedError"))
    }
    assert not list(tmp_path.rglob("redriven.json"))
    kafka.create(unique)
    report, _ = redrive(dead.flag, f"--to=kafka://{unique}")
    assert figures(report) == (2, 2, 0, 0)
    assert kafka.size(unique) == 2


@pytest.mark.parametrize("dead", ["kafka", "files"], indirect=True)
def test_what_a_filter_leaves_out_is_there_for_the_next_run(dead, redrive, kafka, unique):
    kafka.create(unique)
    early, late = 1_800_000_000_000, 1_800_000_000_001
    dead.put(
        [
            letter(record(1), "UnmappableError", early),
            letter(record(2), "RefusedError", early),
            letter(record(3), "UnmappableError", late),
            letter(record(4), "UnmappableError", late),
        ]
    )
    for flag, left in (
        ("--error_class=RefusedError", 3),
        ("--after=2027-01-15T08:00:00.001Z", 1),
        ("--max_messages=5", 0),
    ):
        report, _ = redrive(dead.flag, f"--to=kafka://{unique}", flag)
        assert report["left"] == left
    received = kafka.receive(unique, 4)
    assert [found.timestamp_ms - 1_700_000_000_000 for found in received] == [2, 3, 4, 1]


@pytest.mark.parametrize(
    ("dead", "source"),
    [("kafka", "kafka.KafkaDeadLetterSource"), ("files", "files.FileDeadLetterSource")],
    indirect=["dead"],
)
def test_killed_between_delivery_and_remembering_it_sends_again_and_loses_nothing(
    dead, source, redrive, kafka, stack, unique
):
    kafka.create(unique)
    dead.put([letter(record(offset)) for offset in range(3)])
    module, name = source.split(".")
    code = (
        f"import os; from transforms.dead_letters.{module} import {name}\n"
        f"{name}.done = lambda *_: os._exit(137)\n"
        "from pipelines.redrive.cli import main; main()"
    )
    flags = [f"--bootstrap_servers={stack.bootstrap_servers}", dead.flag, f"--to=kafka://{unique}"]
    killed = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=ROOT, env=os.environ, timeout=DEADLINE_S
    )
    assert killed.returncode == 137
    assert kafka.size(unique) == 3
    report, _ = redrive(*flags[1:])
    assert figures(report) == (3, 3, 0, 0)
    offsets = [found.timestamp_ms - 1_700_000_000_000 for found in kafka.receive(unique, 6)]
    assert offsets == [0, 1, 2, 0, 1, 2]


@in_files
def test_a_refused_record_takes_no_other_one_with_it(dead, redrive, kafka, unique):
    kafka.create(unique)
    dead.put([letter(record(1)), letter(record(2, value=bytes(12_000_000))), letter(record(3))])
    report, printed = redrive(dead.flag, f"--to=kafka://{unique}", status=1)
    assert (figures(report), report["failed_by_class"]) == ((3, 2, 1, 0), {"RefusedError": 1})
    assert f"produce {unique} (from alerts/3@2)" in printed
    assert "dead_letter" not in printed
    assert [found.timestamp_ms % 10 for found in kafka.receive(unique, 2)] == [1, 3]


@pytest.mark.parametrize(
    ("source", "to", "says"),
    [
        ("kafka://missing", "kafka://KAFKA", "read missing: no such topic"),
        ("kafka://KAFKA", "kafka://missing", "write missing: no such topic"),
        (f"pubsub://{PROJECT}/subscriptions/missing", "kafka://KAFKA", "subscriptions/missing"),
        ("kafka://KAFKA", f"pubsub://{PROJECT}/topics/missing", "topics/missing"),
        ("/no/such/folder", "kafka://KAFKA", "list /no/such/folder: there is no such folder"),
        ("pubsub://SUBSCRIPTION", "pubsub://TOPIC", "reads this same topic"),
    ],
)
def test_an_end_that_is_not_as_needed_is_told_in_one_line_before_anything_is_read(
    redrive, kafka, pubsub, unique, source, to, says
):
    topic, subscription = pubsub.create(unique)
    names = {"KAFKA": kafka.create(unique), "TOPIC": topic, "SUBSCRIPTION": subscription}
    flags = [f"--from={source}", f"--to={to}"]
    for word, name in names.items():
        flags = [flag.replace(word, name) for flag in flags]
    _, printed = redrive(*flags, status=2)
    assert says in printed
    assert len(printed.splitlines()) == 1
