"""What every place of dead letters must do: files, S3, Kafka by either client, Pub/Sub."""

from __future__ import annotations

import errno
import functools
import importlib.util
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import confluent_kafka
import file_stores
import pytest
from ends import DEADLINE_S, Kafka, PubSub
from kafka import KafkaAdminClient, TopicPartition

from transforms import filesystem, limits
from transforms.dead_letter import DeadLetter, DeadLetterSink, DeadLetterSource
from transforms.dead_letters import files
from transforms.dead_letters.avro import to_avro
from transforms.dead_letters.files import FileDeadLetters, FileDeadLetterSource
from transforms.dead_letters.kafka import KafkaDeadLetterSource
from transforms.dead_letters.places import Place, open_sink
from transforms.dead_letters.pubsub import PubsubDeadLetterSource, to_messages
from transforms.errors import (
    CommitError,
    DeliveryError,
    PreflightError,
    SourceError,
    UsageError,
)
from transforms.kafka.client import KafkaConfig, ProducerConfig
from transforms.kafka.kafka_python import KafkaPythonAdmin
from transforms.records import KafkaRecord, PubsubRecord, TimestampType

PRODUCER = ProducerConfig(max_message_bytes=11_000_000)
NOBODY = "127.0.0.1:1"
QUIET_S = 1.0


def letter(number: int = 0, original: KafkaRecord | PubsubRecord | None = None) -> DeadLetter:
    """A letter whose error is its number."""
    original = original or KafkaRecord("alerts", 0, number, 1, key=b"k", value=b"%d" % number)
    kind = "kafka_to_ps" if isinstance(original, KafkaRecord) else "ps_to_kafka"
    return DeadLetter(original, kind, "map", "UnmappableError", f"{number:04}", 1, 1, "0.1.0")


# -- places ----------------------------------------------------------------------------------------


@dataclass
class At:
    """One place, of the test's own.

    Attributes:
      sink: opens it for writing.
      source: opens it for reading, as a new process would.
      put_foreign: puts something there that is no dead letter; returns how an error names it.
      down: opens one of the same kind that cannot be written to.
      in_order: whether letters come back in the order in which they were written.
    """

    sink: Callable[[], DeadLetterSink]
    source: Callable[[], DeadLetterSource]
    put_foreign: Callable[[], str]
    down: Callable[[], DeadLetterSink]
    in_order: bool = True

    def write(self, *letters: DeadLetter) -> None:
        sink = self.sink()
        sink.write(letters, DEADLINE_S)
        sink.close()

    def read(self, done: Callable[[DeadLetter], bool] = lambda _: False) -> list[DeadLetter]:
        """Reads to the end, and remembers those as done that are to be."""
        source, letters = self.source(), []
        try:
            for found in source.read():
                letters += [item.letter for item in found]
                source.done([item for item in found if done(item.letter)])
        finally:
            source.close()
        return self.ordered(letters)

    def ordered(self, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        letters = list(letters)
        return letters if self.in_order else sorted(letters, key=lambda found: found.error)


def at_folder(folder: str, down: Callable[[], DeadLetterSink]) -> At:
    def put_foreign():
        filesystem.put(f"{folder}/zzz.avro", b"foreign")
        return f"read {folder}/zzz.avro: no dead letters"

    return At(
        functools.partial(open_sink, Place("files", folder), None, None, DEADLINE_S),
        functools.partial(FileDeadLetterSource, folder),
        put_foreign,
        down,
    )


@pytest.fixture
def local(tmp_path):
    """A folder that is not there yet; the other one lies below a regular file."""
    (tmp_path / "file").touch()
    return at_folder(f"{tmp_path}/new/dead", lambda: FileDeadLetters(f"{tmp_path}/file/dead"))


@pytest.fixture
def s3(s3_server, unique, monkeypatch):
    """A bucket, reached by what the environment says, as by all of Amazon's tools."""
    bucket = file_stores.s3_bucket(s3_server, file_stores.bucket_name(unique))

    def down():
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{NOBODY}")
        return FileDeadLetters(bucket.url)

    return at_folder(bucket.url, down)


@pytest.fixture
def kafka(stack):
    ends = Kafka(stack.bootstrap_servers)
    yield ends
    ends.close()


def at_topic(kafka: Kafka, client: str, topic: str) -> At:
    cluster = KafkaConfig(kafka.config.bootstrap_servers, client)
    place = Place("kafka", kafka.create(topic))

    def put_foreign():
        kafka.send([KafkaRecord(topic, 0, value=b"foreign")])
        return f"read {topic}/0@{kafka.size(topic) - 1}: no dead letter"

    return At(
        functools.partial(open_sink, place, cluster, PRODUCER, DEADLINE_S),
        functools.partial(KafkaDeadLetterSource, cluster, topic, group(topic)),
        put_foreign,
        functools.partial(open_sink, place, KafkaConfig(NOBODY, client), PRODUCER, DEADLINE_S),
    )


def group(topic: str) -> str:
    return f"redrive-{topic}"


@pytest.fixture
def librdkafka(kafka, unique):
    return at_topic(kafka, "librdkafka", unique)


@pytest.fixture
def kafka_python(kafka, unique):
    return at_topic(kafka, "kafka-python", unique)


@pytest.fixture
def pubsub_ends(stack):
    ends = PubSub()
    yield ends
    ends.close()


@pytest.fixture
def pubsub(pubsub_ends, unique, monkeypatch):
    topic, subscription = pubsub_ends.create(unique)
    sink = functools.partial(open_sink, Place("pubsub", topic), None, None, DEADLINE_S)

    def put_foreign():
        pubsub_ends.send(topic, [PubsubRecord(b"foreign")])
        return rf"read message \d+ of {subscription}: no dead letter"

    def down():
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", NOBODY)
        return sink()

    source = functools.partial(PubsubDeadLetterSource, subscription, 10, QUIET_S)
    return At(sink, source, put_foreign, down, in_order=False)


@pytest.fixture(params=["local", "s3", "librdkafka", "kafka_python", "pubsub"])
def at(request) -> At:
    return request.getfixturevalue(request.param)


# -- everywhere ------------------------------------------------------------------------------------


def test_what_is_written_comes_back_whole_and_in_order(at):
    large = os.urandom(limits.PUBSUB_MAX_MESSAGE_BYTES)
    originals = [
        KafkaRecord("alerts", 3, 2**40, -5, TimestampType.LOG_APPEND_TIME, b"\xff\x00", b"\x80"),
        KafkaRecord("alerts", headers=(("b", b"1"), ("a", None), ("b", b""), ("\udcff", b"\xff"))),
        KafkaRecord("alerts", 0, 0, 0, key=b"", value=b""),
        KafkaRecord("alerts", 0, 1, 0, key=None, value=large),
        PubsubRecord(b"\xff", {"key": "é", "": ""}, "order", "17", 1),
        PubsubRecord(b"", {"empty": "data"}, "", "18", 2),
        PubsubRecord(large, {}, "", "19", 3),
    ]
    letters = [letter(number, original) for number, original in enumerate(originals)]
    letters.append(letter(9)._replace(error="9" * 5_000 + "é", stage="write", attempts=7))
    at.write(*letters[:4])
    at.write(*letters[4:])
    assert at.read() == letters


def test_what_is_done_is_not_read_again_and_the_rest_is(at):
    letters = [letter(number) for number in range(10)]
    at.write(*letters[:6])
    at.write(*letters[6:])
    done = {letters[number] for number in (0, 1, 4, 7)}
    assert at.read(done=done.__contains__) == letters
    assert at.read() == at.read(done=lambda _: True) == [a for a in letters if a not in done]
    assert at.read() == []


def test_what_arrives_while_reading_is_left_for_the_next_reading(at):
    at.write(letter(0))
    source = at.source()
    reading = source.read()
    assert [item.letter for item in next(reading)] == [letter(0)]
    at.write(letter(1))
    assert list(reading) == []
    source.close()
    assert at.read() == [letter(0), letter(1)]


def test_what_is_no_dead_letter_is_an_error_that_names_it_after_those_before_it(at):
    at.write(letter(0))
    name = at.put_foreign()
    source, letters = at.source(), []
    with pytest.raises(SourceError, match=name):
        letters.extend(item.letter for found in source.read() for item in found)
    source.close()
    if at.in_order:
        assert letters == [letter(0)]


def test_a_place_that_is_down_is_a_delivery_error_of_one_line_within_the_timeout(at, caplog):
    sink = at.down()
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(DeliveryError) as failure:
            sink.write([letter()], 2.0)
        assert len(str(failure.value).splitlines()) == 1
    sink.close()
    assert "Traceback" not in caplog.text
    assert time.monotonic() - began < 2 * 2.0 + 2.0


# -- files -----------------------------------------------------------------------------------------


def test_a_file_is_there_only_when_it_is_complete(tmp_path, monkeypatch):
    def full(_):
        assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeliveryError, match=f"write {tmp_path}/dead-.*: No space left on device"):
        FileDeadLetters(f"file://{tmp_path}").write([letter()], DEADLINE_S)
    assert list(tmp_path.iterdir()) == []


def test_bridges_that_begin_together_may_share_a_folder(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: files.check(str(tmp_path), DEADLINE_S), range(100)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_files_sort_in_the_order_of_writing_even_when_the_clock_stands_still(tmp_path):
    sink = FileDeadLetters(str(tmp_path), clock=lambda: 1_800_000_000.5)
    letters = [letter(number) for number in range(5)]
    for each in letters:
        sink.write([each], DEADLINE_S)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert re.fullmatch(r"dead-letters-20270115T080000\.500Z-[0-9a-f]{12}\.avro", names[0])
    assert [i.letter for found in FileDeadLetterSource(str(tmp_path)).read() for i in found] == (
        letters
    )


def test_what_is_done_of_files_stands_in_one_readable_file(local, tmp_path):
    local.write(*(letter(number) for number in range(4)))
    state = tmp_path / "elsewhere" / "state.json"
    source = FileDeadLetterSource(str(tmp_path / "new" / "dead"), str(state))
    [found] = source.read()
    source.done(found[:2])
    source.done(found[3:])
    [file] = (tmp_path / "new" / "dead").iterdir()
    assert json.loads(state.read_bytes()) == {"version": 1, "done": {file.name: "0-1,3"}}
    assert [path.name for path in state.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 2}', b'{"version":1,"done":{"a":""'])
def test_a_foreign_state_is_an_error_that_names_it(tmp_path, content):
    state = tmp_path / "redriven.json"
    state.write_bytes(content)
    with pytest.raises(SourceError, match=f"read {state}: not what a redrive"):
        list(FileDeadLetterSource(str(tmp_path)).read())


def test_a_folder_that_is_missing_is_an_error_and_not_an_empty_one(tmp_path):
    with pytest.raises(SourceError, match=f"list {tmp_path}/missing: there is no such folder"):
        list(FileDeadLetterSource(f"{tmp_path}/missing").read())


def test_a_folder_is_checked_by_writing_and_leaves_nothing(tmp_path, s3):
    files.check(f"{tmp_path}/new/newer", DEADLINE_S)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for url, tried in (
        (f"{tmp_path}/file/dead", f"{tmp_path}/file"),
        ("s3://no-such-bucket/dead", "s3://no-such-bucket/dead"),
    ):
        with pytest.raises(PreflightError, match=f"write {tried}/.writable: "):
            files.check(url, DEADLINE_S)


def test_a_place_that_cannot_be_used_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for place, reason in (
        (Place("files", "s3://bucket/dead"), r"pip install \.\[s3\]"),
        (Place("files", "dead*"), "choose a path without"),
        (Place("kafka", "dead"), "--bootstrap_servers"),
    ):
        with pytest.raises(UsageError, match=reason):
            open_sink(place, None, None, 1.0)


# -- Kafka -----------------------------------------------------------------------------------------


def test_the_headers_of_a_record_tell_people_what_it_is(kafka, librdkafka, unique):
    librdkafka.write(letter(1), letter(2, PubsubRecord(b"d", {}, "", "17")))
    first, second = kafka.receive(unique, 2)
    assert first.key is second.key is None
    assert dict(first.headers) == {
        "dead_letter.error_class": b"UnmappableError",
        "dead_letter.error": b"0001",
        "dead_letter.stage": b"map",
        "dead_letter.direction": b"kafka_to_ps",
        "dead_letter.source": b"alerts/0@1",
    }
    assert dict(second.headers)["dead_letter.source"] == b"message 17"


@pytest.mark.parametrize("client", ["librdkafka", "kafka-python"])
def test_what_is_no_record_ends_no_reading_and_needs_no_remembering(kafka, client, unique):
    at = at_topic(kafka, client, unique)
    writer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.config.bootstrap_servers, "transactional.id": unique}
    )
    writer.init_transactions(DEADLINE_S)
    for number, end in enumerate([writer.commit_transaction, writer.abort_transaction] * 2):
        writer.begin_transaction()
        writer.produce(unique, to_avro([letter(number)]), partition=0)
        writer.flush(DEADLINE_S)
        end(DEADLINE_S)
    assert at.read(done=lambda _: True) == [letter(0), letter(2)]
    assert kafka.admin.committed(group(unique))[unique, 0].metadata == ""
    assert at.read() == []


def test_a_topic_is_read_up_to_where_it_ended_when_reading_began(librdkafka, monkeypatch):
    ask = KafkaPythonAdmin.end_offsets

    def ask_and_write(admin, partitions):
        ends = ask(admin, partitions)
        librdkafka.write(letter(1))
        return ends

    librdkafka.write(letter(0))
    with monkeypatch.context() as patch:
        patch.setattr(KafkaPythonAdmin, "end_offsets", ask_and_write)
        assert librdkafka.read(done=lambda _: True) == [letter(0)]
    assert librdkafka.read() == [letter(1)]


def test_what_is_too_scattered_to_be_remembered_is_an_error_before_anything_is_committed(
    kafka, librdkafka, unique
):
    librdkafka.write(*(letter(number) for number in range(2_000)))
    source = librdkafka.source()
    found = [item for batch in source.read() for item in batch]
    with pytest.raises(SourceError, match=r"too scattered: \d+ bytes, limit 4096; redrive"):
        source.check(found[1::2])
    with pytest.raises(CommitError, match="too scattered"):
        source.done(found[1::2])
    source.check(found[:200])
    assert kafka.offsets(group(unique)) == {}
    source.done(found)
    source.close()
    assert kafka.offsets(group(unique)) == {(unique, 0): 2_000}


def test_letters_whose_fate_could_not_be_remembered_are_refused_before_they_are_sent(
    librdkafka,
):
    librdkafka.write(*(letter(number) for number in range(2_400)))
    source = librdkafka.source()

    def half_of_each_batch_fails() -> None:
        for batch in source.read():
            source.check(batch)
            source.done(batch[1::2])

    with pytest.raises(SourceError, match="too many letters before these still fail"):
        half_of_each_batch_fails()
    source.close()


@pytest.mark.parametrize(("offset", "text"), [(5, ""), (0, "what others keep there")])
def test_a_group_that_is_not_the_sources_own_is_an_error(kafka, librdkafka, unique, offset, text):
    kafka.admin.commit(group(unique), {(unique, 0): offset}, {(unique, 0): text})
    with pytest.raises(SourceError, match=f"{unique}/0: .*use another group"):
        librdkafka.read()


def test_letters_that_retention_took_are_warned_of(kafka, librdkafka, unique, caplog):
    librdkafka.write(*(letter(number) for number in range(4)))
    librdkafka.read(done=letter(0).__eq__)
    admin = KafkaAdminClient(bootstrap_servers=kafka.config.bootstrap_servers)
    admin.delete_records({TopicPartition(unique, 0): 3})
    admin.close()
    with caplog.at_level(logging.WARNING):
        assert librdkafka.read() == [letter(3)]
    assert f"{unique}/0: offsets 1 to 2 no longer exist" in caplog.text


# -- Pub/Sub ---------------------------------------------------------------------------------------


def test_attributes_of_a_message_hold_what_fits_of_the_reason(pubsub, pubsub_ends, unique):
    pubsub.write(letter()._replace(error="x" + "é" * 600))
    [message] = pubsub_ends.receive(f"projects/test/subscriptions/{unique}", 1)
    assert message.attributes == {
        "dead_letter.error_class": "UnmappableError",
        "dead_letter.error": "x" + "é" * 511,
        "dead_letter.stage": "map",
        "dead_letter.direction": "kafka_to_ps",
        "dead_letter.source": "alerts/0@0",
    }


def test_parts_come_together_in_any_order_and_lone_ones_are_given_back(
    pubsub, pubsub_ends, unique, caplog
):
    topic = f"projects/test/topics/{unique}"
    whole, lone = (letter(n, PubsubRecord(os.urandom(9_500_000))) for n in range(2))
    for message in reversed(list(to_messages(whole))):
        pubsub_ends.send(topic, [message])
    [part, _] = to_messages(lone)
    pubsub_ends.send(topic, [part])
    for letters in ([whole], []):
        with caplog.at_level(logging.WARNING):
            assert pubsub.read(done=lambda _: True) == letters
        assert re.findall(r"(\w+) is incomplete: 1 of its 2", caplog.text) == [
            part.attributes["dead_letter.id"]
        ]
        caplog.clear()


def test_a_letter_that_is_delivered_again_is_handed_out_once_and_acknowledged_for_good(pubsub):
    pubsub.write(letter(0), letter(1))
    source = pubsub.source()
    found = []
    for batch in source.read():
        if not found:
            source._leases.give_back(source._leases.forget_all())  # as if leases ran out
        found += batch
    assert pubsub.ordered(item.letter for item in found) == [letter(0), letter(1)]
    source.done(found)
    source.close()
    assert pubsub.read() == []
