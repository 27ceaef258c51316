"""What every Kafka client must do, against a real broker; both clients run all of it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import confluent_kafka
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka_clients import DEADLINE_S, Clients, Escaped, Listener, Member, murmur2, take, until

from pipelines.local.stack import EmbeddedStack
from transforms.errors import (
    CommitError,
    DeliveryError,
    OffsetGapError,
    PreflightError,
    RefusedError,
    SourceError,
    TransferError,
    UnavailableError,
    UsageError,
)
from transforms.kafka.client import KafkaConfig
from transforms.kafka.client_rules import Repeats
from transforms.kafka.clients import open_consumer
from transforms.kafka.librdkafka import rereading
from transforms.kafka.librdkafka.common import Log
from transforms.records import KafkaRecord, TimestampType

ROOT = Path(__file__).parents[2]


# -- records ---------------------------------------------------------------------------------------

RECORDS = {
    "plain": {"key": b"k", "value": b"v"},
    "null key": {"key": None, "value": b"v"},
    "empty key": {"key": b"", "value": b"v"},
    "binary": {"key": bytes(range(256)), "value": bytes(range(255, -1, -1))},
    "tombstone": {"key": b"k", "value": None},
    "empty value": {"key": b"k", "value": b""},
    "headers in order, repeated": {"headers": (("b", b"1"), ("a", b"2"), ("b", b"3"))},
    "empty and binary headers": {"headers": (("", b""), ("é", b"\xff\x00"))},
    "a time": {"timestamp_ms": 1_234_567_890_123},
    "a time before the epoch": {"timestamp_ms": -5},
}


def test_records_are_read_as_they_were_written(clients, topic):
    plain = {"key": b"k", "value": b"v", "timestamp_ms": 7}
    written = [KafkaRecord(topic, 0, **{**plain, **fields}) for fields in RECORDS.values()]
    clients.write(*written)
    read = clients.read(topic, len(written))
    for offset, name in enumerate(RECORDS):
        assert read[offset] == KafkaRecord(topic, 0, offset, *written[offset][3:]), name
    assert {type(record) for record in read} == {KafkaRecord}


@pytest.mark.parametrize(
    ("client", "fields", "refused"),
    [
        ("librdkafka", {"headers": (("h", None),)}, None),
        ("librdkafka", {"key": None, "value": None}, None),
        ("librdkafka", {"timestamp_ms": 0}, "timestamp 0"),
        ("librdkafka", {"headers": (("a\0b", b"v"),)}, "zero byte"),
        ("kafka-python", {"headers": (("a\0b", b"v"),)}, None),
        ("kafka-python", {"headers": (("trace", None),)}, "header 'trace' is null"),
        ("kafka-python", {"key": None, "value": None}, "key or value"),
        ("kafka-python", {"timestamp_ms": 0}, None),
    ],
)
def test_what_one_client_cannot_write_is_a_refusal_and_the_rest_is_written(
    clients, topic, fields, refused
):
    odd = KafkaRecord(topic, 0, **{"key": b"k", "value": b"v", "timestamp_ms": 7, **fields})
    producer = clients.producer()
    producer.produce((odd, KafkaRecord(topic, 0, key=b"after", value=b"v")))
    failures = producer.flush(DEADLINE_S)
    if refused is None:
        assert failures == []
        assert clients.read(topic, 2)[0][3:] == odd[3:]
    else:
        assert [failure.record for failure in failures] == [odd]
        assert isinstance(failures[0].error, RefusedError)
        assert refused in str(failures[0].error)
        assert clients.read(topic, 1)[0].key == b"after"


def test_the_brokers_time_is_told_from_the_writers(clients, unique):
    topic = clients.topic(unique, message_timestamp_type="LogAppendTime")
    clients.write(KafkaRecord(topic, 0, key=b"k", value=b"v", timestamp_ms=7))
    [read] = clients.read(topic, 1)
    assert read.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert abs(read.timestamp_ms - time.time() * 1000) < 60_000


def test_no_time_lets_the_client_set_it(clients, topic):
    clients.write(KafkaRecord(topic, 0, key=b"k", value=b"v"))
    [read] = clients.read(topic, 1)
    assert read.timestamp_type is TimestampType.CREATE_TIME
    assert abs(read.timestamp_ms - time.time() * 1000) < 60_000


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_large_values(clients, unique, size):
    topic = clients.topic(unique, max_message_bytes="11000000")
    clients.write(*(KafkaRecord(topic, 0, key=b"k", value=bytes([i]) * size) for i in range(3)))
    assert [record.value for record in clients.read(topic, 3)] == [
        bytes([i]) * size for i in range(3)
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_of_these_tests_is_javas(data, expected):
    """Source: org.apache.kafka.common.utils.UtilsTest#testMurmur2"""
    assert murmur2(data) == expected


def test_keys_land_where_javas_client_puts_them(clients, unique):
    topic = clients.topic(unique, partitions=7)
    keys = [b"", *(b"key-%d" % i for i in range(999))]
    clients.write(*(KafkaRecord(topic, key=key, value=b"v") for key in keys))
    placed = {record.key: record.partition for record in clients.read(topic, 1000)}
    assert placed == {key: (murmur2(key) & 0x7FFFFFFF) % 7 for key in keys}


def test_records_without_a_key_reach_every_partition(clients, unique):
    topic = clients.topic(unique, partitions=3)
    producer, consumer = clients.producer(), clients.consumer(topic)
    consumer.assign(dict.fromkeys(partitions(topic, 3), 0))
    reached = set()

    def write_one():
        producer.produce([KafkaRecord(topic, value=b"v")])
        assert producer.flush(DEADLINE_S) == []
        reached.update(record.partition for record in consumer.poll(0.01, 10))
        return reached == {0, 1, 2}

    until(write_one, "records in every partition")


def odd(*names):
    """Headers with these names, given as bytes."""
    return tuple(
        (name.decode("utf-8", "surrogateescape"), b"\xff%d" % i) for i, name in enumerate(names)
    )


ODD_NAMES = [b"caf\xe9", b"\xff", b"\xc3", b"\xed\xb3\xa9", "é".encode() + b"\xe9", b"a\xe9" * 200]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_header_name_that_is_not_utf_8_comes_back_to_the_byte(clients, unique, compression):
    topic = clients.topic(unique, partitions=3)
    headers = [
        (),
        odd(*ODD_NAMES, b"", b"plain", b"caf\xe9"),
        *(odd(b"before", name) for name in ODD_NAMES),
        odd(b"plain", "é".encode()),
        odd(b"\x80"),
    ]
    written = [
        KafkaRecord(topic, part, at, 7, key=b"k%d" % at, value=b"v%d" % part, headers=headers[at])
        for at in range(len(headers))
        for part in range(2)
    ]
    clients.write_escaped(*written, compression=compression)
    clients.fill(topic, 10, partition=2)
    consumer = clients.consumer(topic)
    consumer.assign(dict.fromkeys(partitions(topic, 3), 0))
    read = take(consumer, 30)
    for part in range(2):
        own = [record for record in read if record.partition == part]
        assert own == [record for record in written if record.partition == part]
        names = [[name for name, _ in record.headers] for record in own]
        assert [name.encode("utf-8", "surrogateescape") for name in names[1]] == [
            *(*ODD_NAMES, b"", b"plain", b"caf\xe9"),
        ]
        assert {type(name) for found in names for name in found} == {str}
    assert [r.offset for r in read if r.partition == 2] == list(range(10))
    assert {type(record) for record in read} == {KafkaRecord}
    assert {type(record.headers) for record in read} == {tuple}
    assert consumer.positions() == dict.fromkeys(partitions(topic, 3), 10)
    none = dict.fromkeys(partitions(topic, 3), 0)
    until(lambda: consumer.poll(0.05, 10) == [] and consumer.lags() == none, "no lag")
    for at in (1, 8, 9):  # within a batch
        consumer.seek({(topic, 0): at})
        assert take_at_most(consumer, 1) == [written[2 * at]]
        assert consumer.positions()[topic, 0] == at + 1


def test_a_topic_of_odd_header_names_is_read_at_speed(clients, topic):
    written = [
        KafkaRecord(topic, 0, at, 7, key=b"k", value=b"v" * 1000, headers=odd(b"caf\xe9"))
        for at in range(4000)
    ]
    clients.write_escaped(*written)
    consumer = clients.reader(topic, **{topic: 0})
    began = time.monotonic()
    assert take(consumer, 4000) == written
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("level", "expected"), [("read_committed", [2]), ("read_uncommitted", [0, 2])]
)
def test_an_odd_header_name_is_read_at_the_isolation_level(stack, client, topic, level, expected):
    clients = Clients(KafkaConfig(stack.bootstrap_servers, client, {"isolation.level": level}))
    writer = KafkaProducer(bootstrap_servers=stack.bootstrap_servers, transactional_id=topic)
    writer.init_transactions()
    for end in (writer.abort_transaction, writer.commit_transaction):
        writer.begin_transaction()
        headers = [(Escaped(name), value) for name, value in odd(b"caf\xe9")]
        writer.send(topic, b"v", headers=headers, partition=0)
        writer.flush(DEADLINE_S)
        end()
    writer.close()
    read = clients.reader(topic, **{topic: 0})
    records = take(read, len(expected))
    clients.close()
    assert [record.offset for record in records] == expected
    assert {record.headers for record in records} == {odd(b"caf\xe9")}


def test_an_odd_header_name_that_kafka_python_cannot_get_is_named_and_never_skipped(
    stack, unique, monkeypatch
):
    clients = Clients(KafkaConfig(stack.bootstrap_servers, "librdkafka"))
    topic = clients.topic(unique, partitions=2)
    for headers in ((), odd(b"caf\xe9"), ()):
        clients.write_escaped(KafkaRecord(topic, 0, key=b"k", value=b"v", headers=headers))
    clients.fill(topic, 5, partition=1)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 0, (topic, 1): 0})
    with monkeypatch.context() as patch:
        patch.setattr(rereading, "open_consumer", unusable)
        read = []
        stopped = f"read {topic}/0@1: a header's name is not UTF-8, and kafka-python.*open kafka-"
        with pytest.raises(SourceError, match=stopped):
            until(lambda: read.extend(consumer.poll(1, 10)), "the error")
        assert [r.offset for r in read if r.partition == 0] == [0]
        assert consumer.positions()[topic, 0] == 1
        with pytest.raises(SourceError, match=stopped):
            consumer.poll(0.1, 10)
        consumer.seek({(topic, 0): 2})
        read += take(consumer, 7 - len(read))
        assert sorted((r.partition, r.offset) for r in read) == [
            *((0, at) for at in (0, 2)),
            *((1, at) for at in range(5)),
        ]
    consumer.seek({(topic, 0): 1})
    assert [record.headers for record in take(consumer, 2)] == [odd(b"caf\xe9"), ()]
    clients.close()


def unusable(*_):
    raise UsageError("open kafka-python: a property it cannot use; see --kafka_config")


def test_a_commit_does_not_wait_for_what_is_read_again(stack, unique, monkeypatch):
    clients = Clients(KafkaConfig(stack.bootstrap_servers, "librdkafka"))
    topic = clients.topic(unique)
    clients.write_escaped(KafkaRecord(topic, 0, key=b"k", headers=odd(b"caf\xe9")))
    consumer = clients.reader(topic, **{topic: 0})

    def commit_and_open(*configs):
        commit = threading.Thread(target=consumer.commit, args=({(topic, 0): 0},), daemon=True)
        commit.start()
        commit.join(DEADLINE_S / 4)
        assert not commit.is_alive()
        return open_consumer(*configs)

    monkeypatch.setattr(rereading, "open_consumer", commit_and_open)
    assert len(take(consumer, 1)) == 1
    assert consumer.committed([(topic, 0)]) == {(topic, 0): (0, "")}
    clients.close()


def test_aborted_records_are_not_read_and_markers_are_passed_over(clients, topic):
    writer = confluent_kafka.Producer(
        {"bootstrap.servers": clients.cluster.bootstrap_servers, "transactional.id": topic}
    )
    writer.init_transactions(DEADLINE_S)
    for value, end in (
        (b"aborted", writer.abort_transaction),
        (b"kept", writer.commit_transaction),
    ):
        writer.begin_transaction()
        writer.produce(topic, value, partition=0)
        writer.flush(DEADLINE_S)
        end(DEADLINE_S)
    consumer = clients.reader(topic, **{topic: 0})
    assert [record.value for record in take(consumer, 1)] == [b"kept"]

    def at_the_end():
        assert consumer.poll(0.1, 10) == []
        return consumer.positions() == {(topic, 0): 4} and consumer.lags() == {(topic, 0): 0}

    until(at_the_end, "position behind the last transaction marker")


# -- reading without a group -----------------------------------------------------------------------


def test_poll_returns_at_most_what_was_asked_and_does_not_wait_for_more(clients, topic):
    clients.fill(topic, 5)
    consumer = clients.reader(topic, **{topic: 0})
    assert len(take(consumer, 1)) <= 5
    consumer.seek({(topic, 0): 0})
    assert [len(take_at_most(consumer, 2)) for _ in range(3)] == [2, 2, 1]
    began = time.monotonic()
    assert consumer.poll(0.3, 10) == []
    assert time.monotonic() - began > 0.25
    began = time.monotonic()
    clients.fill(topic, 1)
    assert len(consumer.poll(DEADLINE_S, 10)) == 1
    assert time.monotonic() - began < DEADLINE_S / 2


def take_at_most(consumer, count):
    return until(lambda: consumer.poll(0.2, count), "records")


def test_deleted_records_are_a_gap_and_never_skipped(clients, topic):
    clients.fill(topic, 10)
    clients.raw_admin().delete_records({TopicPartition(topic, 0): 6})
    consumer = clients.reader(topic, **{topic: 2})
    for _ in range(2):
        with pytest.raises(OffsetGapError, match=f"{topic}/0: offsets 2 to 5 no longer exist"):
            take(consumer, 1)
    consumer.seek({(topic, 0): 6})
    assert [record.offset for record in take(consumer, 4)] == [6, 7, 8, 9]


def test_an_offset_past_the_end_is_a_gap(clients, topic):
    clients.fill(topic, 3)
    consumer = clients.reader(topic, **{topic: 10})
    with pytest.raises(OffsetGapError, match="offset 10 is past the end: "):
        take(consumer, 1)


def test_a_log_that_was_cut_and_written_anew_is_a_gap_that_says_where(creating_stack, unique):
    readers = {}
    for client in ("librdkafka", "kafka-python"):
        clients = Clients(KafkaConfig(creating_stack.bootstrap_servers, client))
        topic = clients.topic(f"{unique}-{client}")
        for _ in range(10):
            clients.fill(topic, 10)
        readers[topic] = clients.reader(topic, **{topic: 0})
        assert len(take(readers[topic], 100)) == 100
    server = creating_stack.kafka
    server.kill()
    for topic in readers:
        (segment,) = (server.log.parent / "data").glob(f"{topic}-0/*.log")
        os.truncate(segment, segment.stat().st_size * 11 // 20)
    server.restart()
    for topic, consumer in readers.items():
        clients.fill(topic, 200)
        with pytest.raises(OffsetGapError, match="took back offsets 50 to 99, read already") as gap:
            take(consumer, 1)
        consumer.seek({(topic, 0): gap.value.resume})
        assert [record.offset for record in take(consumer, 200)] == list(range(50, 250))
        consumer.close()


def test_a_gap_in_one_partition_keeps_no_record_of_another_back(clients, unique):
    topic = clients.topic(unique, partitions=2)
    clients.fill(topic, 100, partition=1)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 99, (topic, 1): 0})
    read = []
    with pytest.raises(OffsetGapError):
        until(lambda: read.extend(consumer.poll(1, 30)), "the gap")
    assert consumer.positions()[topic, 1] == len(read)
    consumer.seek({(topic, 0): 0})
    read += take(consumer, 100 - len(read))
    assert [record.offset for record in read] == list(range(100))


def test_seek_drops_what_was_prefetched(clients, unique):
    topic = clients.topic(unique, partitions=2)
    for partition in (0, 1):
        clients.fill(topic, 100, partition)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 0, (topic, 1): 0})
    before = take_at_most(consumer, 10)
    consumer.seek({(topic, 0): 90})
    assert consumer.positions()[topic, 0] == 90
    after = take(consumer, 110 - sum(record.partition == 1 for record in before))
    offsets = {part: [r.offset for r in before + after if r.partition == part] for part in (0, 1)}
    assert [at for at in offsets[0] if at >= 10] == list(range(90, 100))
    assert offsets[1] == list(range(100))


def test_a_seek_holds_when_another_follows_at_once(clients, unique):
    topic = clients.topic(unique, partitions=2)
    for partition in (0, 1):
        clients.fill(topic, 10, partition)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 0, (topic, 1): 0})
    take(consumer, 20)
    for _ in range(10):  # an old position may be forgotten in time, by chance
        consumer.seek({(topic, 0): 5})
        consumer.seek({(topic, 1): 8})
        assert consumer.positions() == {(topic, 0): 5, (topic, 1): 8}
        read = take(consumer, 7)
        assert [r.offset for r in read if r.partition == 0] == list(range(5, 10))


def test_assign_leaves_what_stays_where_it_is(clients, unique):
    topic = clients.topic(unique, partitions=3)
    for partition in range(3):
        clients.fill(topic, 5, partition)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 0})
    assert [record.offset for record in take(consumer, 5)] == list(range(5))
    consumer.assign({(topic, 0): 0, (topic, 1): 3})
    assert [(r.partition, r.offset) for r in take(consumer, 2)] == [(1, 3), (1, 4)]
    consumer.assign({(topic, 2): 4})
    assert [(r.partition, r.offset) for r in take(consumer, 1)] == [(2, 4)]
    assert consumer.positions() == {(topic, 2): 5}
    consumer.assign({})
    assert consumer.poll(0.2, 10) == []
    with pytest.raises(SourceError, match="not assigned"):
        consumer.seek({(topic, 2): 0})


def test_lag_is_what_is_left(clients, topic):
    clients.fill(topic, 100)
    consumer = clients.reader(topic, **{topic: 90})
    assert len(take(consumer, 10)) == 10
    until(lambda: consumer.poll(0.05, 10) == [] and consumer.lags() == {(topic, 0): 0}, "no lag")
    clients.fill(topic, 50)
    taken = take_at_most(consumer, 10)

    def lag():
        taken.extend(consumer.poll(0, 1))
        return sum((consumer.lags() or {}).values())

    until(lambda: lag() == 50 - len(taken), "the rest as lag")


def test_committed_watermarks_and_partitions(clients, unique):
    topic = clients.topic(unique, partitions=2)
    clients.fill(topic, 5)
    consumer = clients.consumer(topic)
    consumer.assign({(topic, 0): 0})
    assert consumer.committed([(topic, 0), (topic, 1)]) == {}
    consumer.commit({(topic, 0): 3}, {(topic, 0): "text"})
    consumer.commit({})
    for _ in range(50):  # read wrongly, the text ends in whatever lies behind it in memory
        assert consumer.committed([(topic, 0), (topic, 1)]) == {(topic, 0): (3, "text")}
    assert consumer.committed([]) == {}
    assert consumer.watermarks([(topic, 0), (topic, 1)]) == {(topic, 0): (0, 5), (topic, 1): (0, 0)}
    both = [(topic, 0), (topic, 1)]
    assert consumer.partitions([topic, f"no-{topic}"]) == both
    assert consumer.partitions([f"^{topic[:-2]}..$"]) == both
    assert consumer.partitions([f"^{topic[1:]}"]) == []
    assert consumer.partitions([r"^__consumer_\w+"]) == []


# -- groups ----------------------------------------------------------------------------------------


def partitions(topic, count):
    return {(topic, number) for number in range(count)}


@pytest.fixture
def members(clients):
    """Starts members, and stops their threads before their consumers are closed."""
    started = []

    def start(consumer, topics):
        started.append(Member(consumer, topics))
        return started[-1]

    yield start
    for member in started:
        member.stop()


def test_members_share_take_over_and_are_told_in_order_by_their_own_thread(
    clients, members, unique
):
    topic = clients.topic(unique, partitions=4)
    everything = partitions(topic, 4)
    first = members(clients.consumer(topic), [topic])
    until(lambda: first.owned == everything, "all for the first")
    clients.fill(topic, 3)
    first.listener.commit_when_revoked = {(topic, 0): 3}
    consumer = clients.consumer(topic)
    second = members(consumer, [topic])
    until(lambda: first.owned | second.owned == everything, "all for both")
    until(lambda: len(first.owned) == len(second.owned) == 2, "two each")
    assert first.consumer.committed(everything) == {(topic, 0): (3, "")}
    first.listener.commit_when_revoked = {}
    second.stop()
    consumer.close()
    until(lambda: first.owned == everything, "all for the one who stays")
    assert [name for name, _ in first.listener.events] == [
        *("assigned", "revoked", "assigned", "revoked", "assigned"),
    ]
    assert first.listener.events[1][1] == sorted(everything)
    assert first.listener.threads == {first.thread_id}
    assert [name for name, _ in second.listener.events] == ["assigned"]


def test_positions_that_a_listener_asks_for_are_behind_what_poll_has_returned(
    clients, members, topic
):
    """What was taken besides is read by the next owner: it may not be committed."""
    clients.fill(topic, 200)
    consumer = clients.consumer(topic)
    if clients.cluster.client == "librdkafka":
        consumer._consumer = SlowToConsume(consumer._consumer)
    listener = Listener(consumer)
    returned: list[KafkaRecord] = []
    seen: list[tuple[int, int]] = []
    listener.on_revoked = lambda _: seen.append((consumer.positions()[topic, 0], len(returned)))
    consumer.subscribe([topic], listener)
    returned += consumer.poll(DEADLINE_S, 2)
    members(clients.consumer(topic), [topic])
    until(lambda: returned.extend(consumer.poll(0.3, 2)) or seen, "a rebalance")
    [(position, count)] = seen
    assert position == count


class SlowToConsume:
    """Of librdkafka: between `poll` and `consume` there is time for a rebalance."""

    def __init__(self, consumer):
        self._consumer = consumer

    def __getattr__(self, name):
        return getattr(self._consumer, name)

    def consume(self, count, timeout):
        time.sleep(0.3)
        return self._consumer.consume(count, timeout)


def test_every_record_goes_to_one_member(clients, members, unique):
    topic = clients.topic(unique, partitions=4)
    both = [members(clients.consumer(topic), [topic]) for _ in range(2)]
    until(lambda: sorted(len(member.owned) for member in both) == [2, 2], "two each")
    for partition in range(4):
        clients.fill(topic, 25, partition)
    until(lambda: sum(len(member.records) for member in both) >= 100, "all records")
    read = [(r.partition, r.offset) for member in both for r in member.records]
    assert sorted(read) == [(part, at) for part in range(4) for at in range(25)]


def test_both_clients_share_a_group(clients, members, unique):
    other_name = {"librdkafka": "kafka-python", "kafka-python": "librdkafka"}
    other = Clients(replace(clients.cluster, client=other_name[clients.cluster.client]))
    topic = clients.topic(unique, partitions=4)
    everything = partitions(topic, 4)
    first = members(clients.consumer(topic), [topic])
    until(lambda: first.owned == everything, "all for the first")
    consumer = other.consumer(topic)
    second = members(consumer, [topic])
    until(lambda: sorted((len(first.owned), len(second.owned))) == [2, 2], "two each")
    assert first.owned | second.owned == everything
    first.consumer.commit(dict.fromkeys(first.owned, 0))
    second.consumer.commit(dict.fromkeys(second.owned, 0))
    second.stop()
    other.close()
    until(lambda: first.owned == everything, "all for the one who stays")


def test_a_pattern_finds_new_topics_and_new_partitions(clients, members, unique):
    names = [clients.topic(f"{unique}_2024010{i}_x") for i in (1, 2)]
    clients.topic(f"{unique}_other")
    member = members(clients.consumer(unique), [rf"^{unique}_\d{{8}}_x"])
    until(lambda: member.owned == {(name, 0) for name in names}, "what matches")
    names.append(clients.topic(f"{unique}_20240103_x"))
    until(lambda: member.owned == {(name, 0) for name in names}, "the new topic")
    clients.raw_admin().create_partitions({names[0]: 2})
    expected = {(names[0], 1), *((name, 0) for name in names)}
    until(lambda: member.owned == expected, "the new partition")


def test_another_pattern_takes_the_place_of_the_first(clients, unique):
    nights = [clients.topic(f"{unique}_2024022{i}") for i in (7, 8, 9)]
    consumer = clients.consumer(unique)
    listener = Listener(consumer)

    def owned() -> set[str]:
        consumer.poll(0.1, 100)
        return {name for name, _ in listener.owned}

    for names in (nights[:2], nights[1:], [f"{unique}_20240301"], nights[2:]):
        consumer.subscribe([f"^(?:{'|'.join(names)})$"], listener)
        until(lambda names=names: owned() == set(names) & set(nights), f"{names}")
    clients.topic(f"{unique}_20240302")
    consumer.subscribe([f"^(?:{unique}_20240301|{unique}_20240302)$"], listener)
    until(lambda: owned() == {f"{unique}_20240302"}, "the one that exists")
    clients.topic(f"{unique}_20240301")
    until(lambda: owned() == {f"{unique}_20240301", f"{unique}_20240302"}, "the late one")


def test_a_topic_that_is_made_later_is_found(clients, members, unique):
    member = members(clients.consumer(unique), [unique])
    clients.topic(unique)
    until(lambda: member.owned == {(unique, 0)}, "the topic")
    clients.fill(unique, 3)
    until(lambda: len(member.records) >= 3, "its records")
    assert [record.offset for record in member.records] == [0, 1, 2]


def test_the_group_is_quiet_while_nothing_changes(clients, members, topic):
    member = members(clients.consumer(topic, metadata_interval_ms=50), [topic])
    until(lambda: member.owned, "the partition")
    before = clients.raw_admin().describe_groups([topic])[topic]
    ends = time.monotonic() + 2.0  # 40 times the metadata interval
    until(lambda: time.monotonic() > ends, "time to pass")
    after = clients.raw_admin().describe_groups([topic])[topic]
    assert [name for name, _ in member.listener.events] == ["assigned"]
    assert before["members"] == after["members"]
    assert after["group_state"] == "Stable"


def test_a_member_that_was_thrown_out_cannot_commit_and_is_told_that_it_lost(clients, topic):
    clients.fill(topic, 5)
    consumer = clients.consumer(topic)
    listener = Listener(consumer)
    consumer.subscribe([topic], listener)
    assert len(take(consumer, 5)) == 5
    consumer.commit({(topic, 0): 2})
    throw_out(clients.raw_admin(), topic)
    with pytest.raises(CommitError, match=f"commit {topic}/0: .*"):
        consumer.commit({(topic, 0): 1})
    again = until(lambda: consumer.poll(0.2, 100), "the records again")
    assert [record.offset for record in again] == [2, 3, 4]
    assert [name for name, _ in listener.events] == ["assigned", "lost", "assigned"]


def throw_out(admin, group):
    from kafka.admin import MemberToRemove

    members = admin.describe_groups([group])[group]["members"]
    admin.remove_group_members(group, [MemberToRemove(member["member_id"]) for member in members])


def test_a_static_member_is_back_at_once_and_its_double_is_fenced(clients, unique):
    topic = clients.topic(unique, partitions=2)
    first = clients.consumer(topic, instance_id="a")
    first.subscribe([topic], Listener(first))
    until(lambda: first.poll(0.1, 1) or first.positions(), "its partitions")
    first.commit({(topic, 0): 0})
    second = clients.consumer(topic, instance_id="a")
    second.subscribe([topic], Listener(second))
    until(lambda: second.poll(0.1, 1) or second.positions(), "its partitions, at once", 5)
    with pytest.raises(CommitError):
        first.commit({(topic, 0): 1})
    with pytest.raises(SourceError):
        until(lambda: first.poll(0.1, 1), "an error")
    second.close()
    third = clients.consumer(topic, instance_id="a")
    third.subscribe([topic], Listener(third))
    until(lambda: third.poll(0.1, 1) or third.positions(), "its partitions, at once", 5)


def test_a_commit_from_another_thread_during_a_poll_is_prompt(clients, topic):
    consumer = clients.consumer(topic)
    consumer.subscribe([topic], Listener(consumer))
    until(lambda: consumer.poll(0.1, 1) == [] and consumer.positions(), "the partition")
    took = []

    def commit():
        for offset in range(10):
            began = time.monotonic()
            consumer.commit({(topic, 0): offset})
            took.append(time.monotonic() - began)

    thread = threading.Thread(target=commit)
    thread.start()
    consumer.poll(2.0, 1)
    thread.join()
    assert len(took) == 10
    assert max(took) < 0.5
    assert consumer.committed([(topic, 0)]) == {(topic, 0): (9, "")}


@pytest.mark.parametrize("event", ["on_assigned", "on_revoked"])
def test_a_listeners_error_is_raised_by_the_poll(clients, members, topic, event):
    consumer = clients.consumer(topic)
    listener = Listener(consumer)

    def fail(_):
        raise TransferError("listener failed")

    setattr(listener, event, fail)
    consumer.subscribe([topic], listener)
    if event == "on_revoked":
        until(lambda: consumer.poll(0.1, 1) == [] and consumer.positions(), "the partition")
        members(clients.consumer(topic), [topic])
    with pytest.raises(TransferError, match="listener failed"):
        until(lambda: consumer.poll(0.1, 1), "the error")


# -- writing ---------------------------------------------------------------------------------------


def test_what_is_too_large_is_refused_alone(clients, unique):
    topic = clients.topic(unique, max_message_bytes="2000")
    producer = clients.producer(max_message_bytes=2000, linger_ms=20)
    small = [KafkaRecord(topic, 0, key=b"%d" % i, value=b"v" * (i % 7 * 30)) for i in range(200)]
    large = [KafkaRecord(topic, 0, key=b"", value=b"v" * size) for size in (1990, 2001, 20_000)]
    producer.produce((*small[:100], *large, *small[100:]))
    failures = producer.flush(DEADLINE_S)
    assert sorted(len(failure.record.value) for failure in failures) == [1990, 2001, 20_000]
    for record, error in failures:
        assert isinstance(error, RefusedError)
        assert f"produce {topic}/0: record is {len(record.value)} bytes, limit 2000" in str(error)
        assert "raise the topic's max.message.bytes" in str(error)
    assert [record.key for record in clients.read(topic, 200)] == [r.key for r in small]
    assert producer.flush(1) == []


@pytest.mark.parametrize("name", ["caf\udce9", "\ud83d\ude00"])
def test_a_header_name_that_has_no_utf_8_is_refused_alone(clients, topic, name):
    producer = clients.producer(linger_ms=20)
    bad = KafkaRecord(topic, 0, key=b"bad", value=b"v", headers=(("fine", b"1"), (name, b"2")))
    good = [KafkaRecord(topic, 0, key=b"%d" % i, headers=(("é", b"1"),)) for i in range(20)]
    producer.produce((*good[:10], bad, *good[10:]))
    [failure] = producer.flush(DEADLINE_S)
    assert failure.record is bad
    assert isinstance(failure.error, RefusedError)
    assert str(failure.error) == (
        f"produce {topic}/0: a header's name is not UTF-8, which neither client can write; "
        "set --dead_letter, or rename it at its source"
    )
    assert producer.flush(1) == []
    assert producer.in_flight() == 0
    assert [record.key for record in clients.read(topic, 20)] == [record.key for record in good]


def test_of_records_that_share_a_batch_without_keys_those_that_cannot_be_written_are_refused_alone(
    clients, topic
):
    producer = clients.producer(linger_ms=20, max_message_bytes=1_000_000)
    good = [
        KafkaRecord(topic, timestamp_ms=7 + n, value=b"%d" % n, headers=(("é", b"%d" % n),))
        for n in range(3_000)
    ]
    null = KafkaRecord(topic, value=b"v", headers=(("fine", b"1"), ("null", None)))
    large = KafkaRecord(topic, value=bytes(2_000_000))
    unwritable = KafkaRecord(topic, value=b"v", headers=(("fine", b"1"), ("caf\udce9", b"2")))
    producer.produce((*good[:10], null, *good[10:20], large, *good[20:30], unwritable, *good[30:]))
    failures = producer.flush(DEADLINE_S)
    assert all(isinstance(failure.error, RefusedError) for failure in failures)
    refused = {failure.record for failure in failures}
    assert refused - {null} == {large, unwritable}
    written = [r for r in (*good[:10], null, *good[10:]) if r not in refused]
    read = clients.read(topic, len(written))
    assert [(r.value, r.headers) for r in read] == [(r.value, r.headers) for r in written]
    times = [r.timestamp_ms for r in read if r.headers != null.headers]
    assert times == [r.timestamp_ms for r in good]
    assert producer.flush(1) == []
    assert producer.in_flight() == 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_refused_record_takes_no_other_one_with_it(clients, unique, count):
    topic = clients.topic(unique, cleanup_policy="compact")
    producer = clients.producer(linger_ms=20)
    bad = [KafkaRecord(topic, 0, key=None, value=b"%d" % i) for i in range(count)]
    good = [KafkaRecord(topic, 0, key=b"%d" % i, value=b"v") for i in range(30)]
    producer.produce((*good[:10], *bad[:1], *good[10:20], *bad[1:]))
    failures = producer.flush(DEADLINE_S)
    assert {failure.record for failure in failures} == set(bad)
    assert all(isinstance(failure.error, RefusedError) for failure in failures)
    producer.produce(good[20:])
    assert producer.flush(DEADLINE_S) == []
    assert [record.key for record in clients.read(topic, 30)] == [record.key for record in good]


def test_of_a_batch_that_is_refused_as_a_whole_only_the_culprit_is(clients, unique):
    topic = clients.topic(unique, message_timestamp_before_max_ms="3600000")
    producer = clients.producer(linger_ms=20)
    now_ms = int(time.time() * 1000)
    good = [KafkaRecord(topic, 0, timestamp_ms=now_ms + n, value=b"%d" % n) for n in range(50)]
    old = KafkaRecord(topic, 0, timestamp_ms=now_ms - 36_000_000, value=b"old")
    producer.produce((*good[:25], old, *good[25:]))
    [failure] = producer.flush(DEADLINE_S)
    assert failure.record is old
    assert isinstance(failure.error, RefusedError)
    found = [record.value for record in clients.read(topic, 50)]
    assert sorted(found) == sorted(record.value for record in good)


def test_a_batch_that_is_too_large_for_a_lowered_limit_is_written_in_parts(clients, unique):
    topic = clients.topic(unique, max_message_bytes="5000")
    producer = clients.producer(linger_ms=20)
    small = [KafkaRecord(topic, 0, value=b"%3d" % n + bytes(200)) for n in range(100)]
    producer.produce(small)
    assert producer.flush(DEADLINE_S) == []
    assert len(clients.read(topic, 100)) == 100


def test_a_compressed_record_may_be_larger_than_the_topics_limit(clients, unique):
    topic = clients.topic(unique, max_message_bytes="100000")
    producer = clients.producer(compression="gzip", max_message_bytes=500_000_000)
    producer.produce([KafkaRecord(topic, 0, value=bytes(12_000_000))])
    assert producer.flush(DEADLINE_S) == []
    assert [len(record.value) for record in clients.read(topic, 1)] == [12_000_000]


def test_a_partition_that_does_not_exist_refuses_and_a_missing_topic_fails(clients, topic, unique):
    producer = clients.producer(delivery_timeout_s=2)
    producer.produce([KafkaRecord(topic, 9, key=b"k", value=b"v")])
    producer.produce([KafkaRecord(f"no-{unique}", key=b"k", value=b"v")])
    by_topic = {record.topic: error for record, error in producer.flush(DEADLINE_S)}
    assert isinstance(by_topic[topic], RefusedError)
    assert f"produce {topic}/9" in str(by_topic[topic])
    assert isinstance(by_topic[f"no-{unique}"], DeliveryError)


def test_a_silent_broker_delays_and_then_fails_what_is_written(stack, clients, topic):
    patient, strict = clients.producer(), clients.producer(delivery_timeout_s=2)
    full = clients.producer(delivery_timeout_s=1, buffer_bytes=11_000_000)
    for producer in (patient, strict, full):
        producer.produce([KafkaRecord(topic, 0, key=b"k", value=b"v")])
        assert producer.flush(DEADLINE_S) == []
    stack.kafka.pause()
    try:
        patient.produce([KafkaRecord(topic, 0, key=b"patient", value=b"v")])
        strict.produce([KafkaRecord(topic, 0, key=b"strict", value=b"v")])
        began = time.monotonic()
        with pytest.raises(DeliveryError, match=r"flush: 1 records not confirmed within 0\.5 s"):
            patient.flush(0.5)
        assert time.monotonic() - began > 0.4
        assert patient.in_flight() == 1
        [failure] = strict.flush(DEADLINE_S)
        assert failure.record.key == b"strict"
        assert isinstance(failure.error, DeliveryError)
        large = KafkaRecord(topic, 0, key=b"k", value=b"v" * 999_000)
        began = time.monotonic()
        failures = []
        with contextlib.suppress(DeliveryError):  # else the oldest records fail, and make room
            full.produce([large] * 12)
            failures = full.flush(DEADLINE_S)
        assert time.monotonic() - began > 0.9
        assert all(isinstance(failure.error, DeliveryError) for failure in failures)
        began = time.monotonic()
        full.close()
        assert time.monotonic() - began < 10
    finally:
        stack.kafka.resume()
    assert patient.flush(DEADLINE_S) == []
    assert patient.in_flight() == 0


def test_more_than_the_buffer_holds_is_written_in_its_order_and_seen_to_go_on(clients, topic):
    producer = clients.producer(buffer_bytes=200_000, max_message_bytes=200_000)
    records = [
        KafkaRecord(topic, 0, key=b"%d" % i, value=bytes(100 if i % 10 else 100_000))
        for i in range(300)
    ]
    producer.produce(records)
    assert producer.confirmed in range(200, 301) or not producer.in_flight()
    assert producer.flush(DEADLINE_S) == []
    assert producer.confirmed is None
    assert [record.key for record in clients.read(topic, 300)] == [r.key for r in records]


def test_flush_and_produce_from_two_threads_lose_nothing(clients, topic):
    producer = clients.producer(linger_ms=1)
    stop = threading.Event()
    errors = []

    def flush():
        while not stop.is_set():
            try:
                errors.extend(producer.flush(DEADLINE_S))
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=flush)
    thread.start()
    for i in range(5000):
        producer.produce([KafkaRecord(topic, 0, key=b"%d" % i, value=b"v")])
    stop.set()
    thread.join()
    assert producer.flush(DEADLINE_S) == []
    assert errors == []
    assert [int(record.key) for record in clients.read(topic, 5000)] == list(range(5000))


# -- writing idempotently --------------------------------------------------------------------------

PRODUCE, INIT_PRODUCER_ID = 0, 22
"""Requests by their keys. Source: https://kafka.apache.org/protocol#protocol_api_keys"""

CLUSTER_AUTHORIZATION_FAILED = 31


class Relay:
    """Stands before one broker, which sends its clients here.

    Attributes:
      lose: how many answers to which requests are lost: the broker has given them, and the
        connection is cut before they arrive.
      lost: the requests of those that were.
      stop: requests that never reach the broker: the connection is cut instead.
      stop_after_loss: whether requests whose answer is lost are stopped from then on.
      forbid: requests that the broker is made to answer with CLUSTER_AUTHORIZATION_FAILED.
      away: connections are cut at once.
    """

    def __init__(self):
        self.target = ("127.0.0.1", 0)
        self.lose, self.lost, self.stop, self.forbid = {}, [], set(), set()
        self.away = self.stop_after_loss = False
        self._open = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def go(self):
        """Cuts all connections, and is away."""
        self.away = True
        for pair in list(self._open):
            self._cut(pair)

    def close(self):
        self._listener.close()
        self.go()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if self.away:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                pair, asked = (client, server), {}
                self._open.add(pair)
                for way in ((client, server, self._request), (server, client, self._answer)):
                    args = (*way, asked, pair)
                    threading.Thread(target=self._pump, args=args, daemon=True).start()

    def _pump(self, source, sink, look, asked, pair):
        with contextlib.suppress(OSError), source.makefile("rb") as reader:
            while len(size := reader.read(4)) == 4:
                frame = reader.read(int.from_bytes(size, "big"))
                if (frame := look(frame, asked)) is None:
                    break
                sink.sendall(size + frame)
        self._cut(pair)

    def _cut(self, pair):
        self._open.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _request(self, frame, asked):
        key, version = int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:4], "big")
        asked[frame[4:8]] = key, version
        return None if key in self.stop else frame

    def _answer(self, frame, asked):
        key, version = asked.pop(frame[:4])
        if self.lose.get(key, 0) > 0:
            self.lose[key] -= 1
            if self.stop_after_loss:
                self.stop.add(key)
            self.lost.append(key)
            return None
        if key in self.forbid:  # number, tags since version 2, throttle time, then the error
            at = 8 + (version >= 2)
            frame = frame[:at] + CLUSTER_AUTHORIZATION_FAILED.to_bytes(2, "big") + frame[at + 2 :]
        return frame


@pytest.fixture(scope="module")
def relayed():
    """A relay, and the broker behind it."""
    relay = Relay()
    properties = f"advertised.listeners=PLAINTEXT://127.0.0.1:{relay.port}\n"
    with EmbeddedStack(pubsub=False, kafka_properties=properties) as stack:
        relay.target = ("127.0.0.1", stack.kafka.port)
        yield relay
        relay.close()


@pytest.fixture
def relay(relayed):
    relayed.lost.clear()
    yield relayed
    relayed.lose.clear()
    relayed.stop.clear()
    relayed.forbid.clear()
    relayed.away = relayed.stop_after_loss = False


@pytest.fixture
def behind(relay, client):
    """Opens clients of a broker behind the relay."""
    clients = Clients(KafkaConfig(f"127.0.0.1:{relay.port}", client))
    yield clients
    relay.away = False
    clients.close()


def test_a_record_whose_confirmation_got_lost_is_there_once(behind, relay, unique):
    topic = behind.topic(unique, partitions=3)
    producer = behind.producer(linger_ms=20)
    written = [KafkaRecord(topic, n % 3, key=b"%d" % n, value=b"v") for n in range(90)]
    relay.lose[PRODUCE] = 2
    for n, record in enumerate(written):
        producer.produce([record])
        if n % 30 == 29:
            assert producer.flush(DEADLINE_S) == []
    assert relay.lost == [PRODUCE] * 2
    found = behind.read(topic, 90)
    for part in range(3):
        expected = [record.key for record in written if record.partition == part]
        assert [record.key for record in found if record.partition == part] == expected


def test_without_idempotence_it_would_be_there_twice(relay, unique):
    clients = Clients(KafkaConfig(f"127.0.0.1:{relay.port}", "kafka-python"))
    topic = clients.topic(unique)
    producer = KafkaProducer(
        bootstrap_servers=clients.cluster.bootstrap_servers, acks="all", enable_idempotence=False
    )
    relay.lose[PRODUCE] = 1
    producer.send(topic, b"v").get(DEADLINE_S)
    producer.close()
    assert len(clients.read(topic, 2)) == 2
    clients.close()


@pytest.mark.parametrize("client", ["kafka-python"], indirect=True)
def test_refused_records_and_lost_confirmations_spoil_no_other_record(behind, relay, unique):
    topic = behind.topic(unique, partitions=4, cleanup_policy="compact")
    producer = behind.producer(linger_ms=1)
    good, bad = [], []
    for n in range(400):
        record = KafkaRecord(topic, n % 4, key=b"%d" % n, value=b"%d" % n)
        if n % 9 == 5:
            bad.append(record := record._replace(key=None))
        else:
            good.append(record)
        producer.produce([record])
        if n % 50 == 25:
            relay.lose[PRODUCE] = 1
        if n % 50 == 49:
            failures = producer.flush(DEADLINE_S)
            assert {failure.record for failure in failures} == set(bad)
            assert all(isinstance(failure.error, RefusedError) for failure in failures)
            bad.clear()
    assert relay.lost == [PRODUCE] * 8
    found = behind.read(topic, len(good))
    assert sorted(record.key for record in found) == sorted(record.key for record in good)


def test_what_is_refused_when_tried_again_may_be_written_and_later_records_are(
    behind, relay, unique
):
    topic = behind.topic(unique, max_message_bytes="5000")
    producer = behind.producer(linger_ms=1)
    assert write(producer, KafkaRecord(topic, 0, key=b"before", value=b"v")) == []
    relay.lose[PRODUCE], relay.stop_after_loss = 1, True
    producer.produce([KafkaRecord(topic, 0, key=b"large", value=bytes(4000))])
    until(lambda: relay.lost, "a written record")
    smaller = ConfigResource("TOPIC", topic, {"max.message.bytes": "1000"})
    behind.raw_admin().alter_configs([smaller])
    relay.stop.clear()
    [failure] = producer.flush(DEADLINE_S)
    assert failure.record.key == b"large"
    assert write(producer, KafkaRecord(topic, 0, key=b"after", value=b"v")) == []
    keys = [record.key for record in behind.read(topic, 3)]
    assert keys == [b"before", b"large", b"after"]


def write(producer, record):
    """Writes a record, and returns its failure, if any, in a list."""
    producer.produce([record])
    return producer.flush(DEADLINE_S)


def test_after_an_outage_that_fails_records_writing_goes_on(behind, relay, unique):
    topic = behind.topic(unique)
    producer = behind.producer(delivery_timeout_s=1.5)
    assert write(producer, KafkaRecord(topic, 0, key=b"before", value=b"v")) == []
    relay.lose[PRODUCE] = 1
    producer.produce([KafkaRecord(topic, 0, key=b"unknown", value=b"v")])
    until(lambda: relay.lost, "a written record")
    relay.go()
    [failure] = producer.flush(DEADLINE_S)
    assert isinstance(failure.error, DeliveryError)
    [failure] = write(producer, KafkaRecord(topic, 0, key=b"lost", value=b"v"))
    assert isinstance(failure.error, DeliveryError)
    relay.away = False
    probe = KafkaRecord(topic, 0, key=b"probe", value=b"v")
    until(lambda: write(producer, probe) == [], "a record that is written again")
    after = [KafkaRecord(topic, 0, key=b"%d" % n, value=b"v") for n in range(20)]
    for record in after:
        assert write(producer, record) == []
    found = [record.key for record in behind.read(topic, 23) if record.key != b"probe"]
    assert found == [b"before", b"unknown", *(record.key for record in after)]


def test_a_producer_id_is_asked_for_until_it_is_there(behind, relay, unique):
    topic = behind.topic(unique)
    relay.lose[INIT_PRODUCER_ID] = 2
    producer = behind.producer()
    assert write(producer, KafkaRecord(topic, 0, key=b"k", value=b"v")) == []
    assert relay.lost == [INIT_PRODUCER_ID] * 2
    assert len(behind.read(topic, 1)) == 1


@pytest.mark.parametrize("client", ["kafka-python"], indirect=True)
def test_a_broker_that_lets_nobody_write_idempotently_fails_what_is_written(behind, relay, unique):
    topic = behind.topic(unique)
    relay.forbid.add(INIT_PRODUCER_ID)
    producer = behind.producer()
    for _ in range(2):
        [failure] = write(producer, KafkaRecord(topic, 0, key=b"k", value=b"v"))
        assert isinstance(failure.error, DeliveryError)
        assert f"produce {topic}/0: no producer id" in str(failure.error)
        assert "ClusterAuthorizationFailed" in str(failure.error)
        assert "IdempotentWrite" in str(failure.error)


# -- administration --------------------------------------------------------------------------------


def test_topics_are_described_and_made(clients, unique):
    admin = clients.admin()
    clients.topic(
        f"{unique}-a",
        partitions=2,
        max_message_bytes="123456",
        cleanup_policy="compact",
        message_timestamp_after_max_ms="77",
    )
    clients.topic(f"{unique}-c", message_timestamp_type="LogAppendTime")
    assert admin.topics([f"{unique}-b"]) == {}
    admin.create_topic(f"{unique}-b", 3, 1)
    admin.create_topic(f"{unique}-b", 3, 1)
    found = admin.topics([f"^{unique}"])
    assert list(found) == [f"{unique}-{letter}" for letter in "abc"]
    assert found[f"{unique}-a"][:5] == (f"{unique}-a", 2, 123456, True, 77)
    assert found[f"{unique}-a"].described
    assert found[f"{unique}-a"].operations >= {"READ", "WRITE"}
    assert found[f"{unique}-c"].max_timestamp_ahead_ms is None
    assert admin.cluster_id() == clients.admin().cluster_id() != ""
    assert found[f"{unique}-b"].partitions == 3
    assert admin.topics([f"{unique}-b", f"{unique}-x"]) == {f"{unique}-b": found[f"{unique}-b"]}
    assert admin.partitions([f"{unique}-b"]) == [(f"{unique}-b", number) for number in range(3)]
    assert admin.topics([r"^__consumer_\w+"]) == {}
    with pytest.raises(PreflightError, match=f"create topic {unique}-d"):
        admin.create_topic(f"{unique}-d", 1, 5)


def test_offsets_by_time(clients, unique):
    topic = clients.topic(unique, partitions=2)
    times = [1000, 2000, 3000]
    clients.write(*(KafkaRecord(topic, 0, key=b"k", value=b"v", timestamp_ms=t) for t in times))
    admin, both = clients.admin(), [(topic, 0), (topic, 1)]
    assert admin.beginning_offsets(both) == {(topic, 0): 0, (topic, 1): 0}
    assert admin.end_offsets(both) == {(topic, 0): 3, (topic, 1): 0}
    assert admin.end_offsets([]) == {}
    for timestamp_ms, offset in ((999, 0), (1000, 0), (1001, 1), (3000, 2), (3001, 3)):
        found = admin.offsets_for_time(both, timestamp_ms)
        assert found == {(topic, 0): offset, (topic, 1): 0}
    with pytest.raises(PreflightError, match=f"read offsets of {topic}/7"):
        admin.end_offsets([(topic, 7)])


def test_a_groups_offsets_and_members(clients, topic):
    admin = clients.admin()
    assert admin.committed(topic) == {}
    assert admin.group_members(topic) == []
    admin.commit(topic, {(topic, 0): 4})
    assert admin.committed(topic) == {(topic, 0): (4, "")}
    consumer = clients.consumer(topic)
    consumer.subscribe([topic], Listener(consumer))
    clients.fill(topic, 5)
    assert [record.offset for record in take(consumer, 1)] == [4]
    assert len(admin.group_members(topic)) == 1
    with pytest.raises(PreflightError, match=f"set offsets of group {topic}, {topic}/0: .*stop"):
        admin.commit(topic, {(topic, 0): 0})
    consumer.close()
    until(lambda: not admin.group_members(topic), "an empty group")
    admin.commit(topic, {(topic, 0): 0})
    assert admin.committed(topic) == {(topic, 0): (0, "")}


def test_standard_properties_reach_the_client(stack, client, topic):
    clients = Clients(
        KafkaConfig(stack.bootstrap_servers, client, {"client.id": "me-and-no-other"})
    )
    consumer = clients.consumer(topic)
    consumer.subscribe([topic], Listener(consumer))
    until(lambda: consumer.poll(0.1, 1) == [] and consumer.positions(), "the partition")
    assert clients.admin().group_members(topic) == ["me-and-no-other (/127.0.0.1)"]
    clients.close()


# -- brokers that are not there --------------------------------------------------------------------


@pytest.fixture(params=["refuses", "says nothing"])
def nowhere(request):
    """The address of a server that refuses connections, or accepts them and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    if request.param == "refuses":
        server.close()
    yield f"127.0.0.1:{server.getsockname()[1]}" if request.param != "refuses" else "127.0.0.1:1"
    server.close()


def test_an_unreachable_broker_is_reported_in_time(client, nowhere, unique):
    clients = Clients(KafkaConfig(nowhere, client))
    began = time.monotonic()

    def consume(what):
        consumer = clients.consumer(unique, request_timeout_s=0.3)
        consumer.assign({(unique, 0): 0})
        what(consumer)

    where = [(unique, 0)]
    for ask in (
        lambda consumer: consumer.committed(where),
        lambda consumer: consumer.watermarks(where),
        lambda consumer: consumer.partitions([unique]),
    ):
        # One client connects when it is opened: then it is not there to be asked.
        with pytest.raises(SourceError) as raised:
            consume(ask)
        assert isinstance(raised.value, UnavailableError) or "connect" in str(raised.value)
    with pytest.raises((CommitError, SourceError)):
        consume(lambda consumer: consumer.commit({(unique, 0): 0}))
    with pytest.raises(PreflightError, match=nowhere):
        clients.admin(timeout_s=0.3)
    with pytest.raises(DeliveryError):
        raise write_one(clients.producer(delivery_timeout_s=0.3), unique)
    clients.close()
    assert time.monotonic() - began < 5


def write_one(producer, topic):
    """Writes one record that cannot be delivered, and returns its error."""
    producer.produce([KafkaRecord(topic, key=b"k", value=b"v")])
    [failure] = producer.flush(DEADLINE_S)
    return failure.error


def test_no_topic_is_made_by_accident(creating_stack, client, unique):
    clients = Clients(KafkaConfig(creating_stack.bootstrap_servers, client))
    consumer = clients.consumer(unique, request_timeout_s=0.5)
    consumer.subscribe([f"a-{unique}"], Listener(consumer))
    consumer.poll(0.5, 1)
    assert consumer.partitions([f"b-{unique}"]) == []
    with pytest.raises(SourceError):
        consumer.watermarks([(f"b-{unique}", 0)])
    reader = clients.reader(unique, **{f"c-{unique}": 0})
    reader.poll(0.5, 1)
    assert isinstance(
        write_one(clients.producer(delivery_timeout_s=1), f"d-{unique}"), DeliveryError
    )
    admin = clients.admin()
    assert admin.topics([f"e-{unique}"]) == {}
    assert admin.topics([f"^.*{unique}"]) == {}
    clients.close()


def test_closing_twice_is_harmless(clients, topic):
    opened = [clients.consumer(topic), clients.producer(), clients.admin()]
    opened[0].subscribe([topic], Listener(opened[0]))
    opened[0].poll(0.2, 1)
    began = time.monotonic()
    for client in opened * 2:
        client.close()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("facility", "message", "level"),
    [
        ("GETPID", "Failed to acquire PID: Coordinator load in progress: retrying", "DEBUG"),
        ("GETPID", "Failed to acquire PID: Cluster authorization failed", "WARNING"),
        ("FAIL", "broker is away: retrying", "WARNING"),
    ],
)
def test_librdkafka_asking_again_for_a_producer_id_is_no_warning(
    caplog, monkeypatch, facility, message, level
):
    monkeypatch.setattr(Repeats, "_last_passed_s", -1.0)
    with caplog.at_level("DEBUG", logger="transforms.kafka.librdkafka.common"):
        Log().log(logging.WARNING, "%s [%s] %s", facility, "rdkafka#producer-1", message)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        (level, f"{facility} [rdkafka#producer-1] {message}")
    ]


WITHOUT_LIBRDKAFKA = """
import sys
sys.modules["confluent_kafka"] = None
from transforms.kafka.client import *
from transforms.kafka.client_rules import Repeats
from transforms.kafka.clients import *
from transforms.records import KafkaRecord
servers, topic = sys.argv[1:]
client, reason = choose_client("auto", {})
cluster = KafkaConfig(servers, client)
open_admin(cluster, 10).create_topic(topic, 1, 1)
producer = open_producer(cluster, ProducerConfig())
producer.produce([KafkaRecord(topic, key=b"k", value=b"v")])
assert producer.flush(10) == []
consumer = open_consumer(cluster, ConsumerConfig(topic))
consumer.assign({(topic, 0): 0})
while not (records := consumer.poll(1, 10)):
    pass
consumer.commit({(topic, 0): 1})
print(client, reason, records)
"""


def test_everything_works_without_librdkafka(stack, unique):
    command = [sys.executable, "-c", WITHOUT_LIBRDKAFKA, stack.bootstrap_servers, unique]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kafka-python confluent-kafka is not installed [KafkaRecord(")
