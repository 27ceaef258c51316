"""Nothing blocks: poison among good messages, the letters, and a place for them that is down."""

from __future__ import annotations

import time

import pytest
from ends import until
from kafka_clients import Clients

from transforms.dead_letters.avro import from_avro
from transforms.dead_letters.files import FileDeadLetterSource
from transforms.dead_letters.kafka import KafkaDeadLetterSource
from transforms.mapping import Attributes, ToPubsubPolicy, to_pubsub
from transforms.records import KafkaRecord, PubsubRecord
from transforms.version import VERSION

GOOD = 10_000
KEYS = 20
FAR_AHEAD_MS = 4_000_000_000_000


def letters_in(source) -> list:
    try:
        return [found.letter for batch in source.read() for found in batch]
    finally:
        source.close()


def in_the_middle(good: list, poison: list) -> list:
    """The poison spread over the middle half of the good ones."""
    step = len(good) // 2 // len(poison)
    mixed = list(good)
    for number, record in enumerate(poison):
        mixed.insert(len(good) // 4 + number * (step + 1), record)
    return mixed


def order_per_key(pairs) -> dict:
    """(key, number) pairs as {key: [number, ...]}."""
    orders: dict = {}
    for key, number in pairs:
        orders.setdefault(key, []).append(number)
    return orders


def test_poison_of_each_kind_leaves_10000_records_on_their_way_to_pubsub_in_order(
    kafka, pubsub, run_bridge, stack, unique, client
):
    topic, subscription = pubsub.create(unique, ordered=True)
    kafka.create(unique, 4)
    dead = kafka.create(f"{unique}-dead", 2, max_message_bytes="12000000")
    good = [
        KafkaRecord(unique, key=b"object-%d" % (n % KEYS), value=b"%d" % n, timestamp_ms=n + 1)
        for n in range(GOOD)
    ]
    poison = [
        KafkaRecord(unique, key=b"many", headers=tuple((f"h{n}", b"v") for n in range(5_000))),
        KafkaRecord(unique, key=b"one", value=b"v", headers=(("h", bytes(1_000_000)),)),
        KafkaRecord(unique, key=b"large", value=bytes(10_900_000)),
        KafkaRecord(unique, key=b"k" * 1_025, value=b"v"),
        KafkaRecord(unique, key=b"\xff\x00", value=b"v"),
        KafkaRecord(unique, key=b"name", value=b"v", headers=(("caf\udce9", b"v"),)),
    ]
    clients = Clients(kafka.config)
    for record in in_the_middle(good, poison):
        if record.key == b"name":
            assert kafka.producer.flush(60) == []
            clients.write_escaped(record)
        else:
            kafka.producer.produce([record])
    assert kafka.producer.flush(60) == []
    report = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--attributes=lossless",
        "--ordering_key=key",
        f"--dead_letter=kafka://{dead}",
        f"--max_messages={GOOD + len(poison)}",
        client,
    ).wait()
    clients.close()
    assert (report["delivered"], report["dead_lettered"]) == (GOOD, len(poison))
    assert kafka.committed(unique) == GOOD + len(poison)
    letters = letters_in(KafkaDeadLetterSource(kafka.config, dead, f"{unique}-look"))
    assert sorted((letter.original[5:8] for letter in letters), key=repr) == sorted(
        (record[5:8] for record in poison), key=repr
    )
    for letter in letters:
        assert (letter.direction, letter.stage) == ("kafka_to_ps", "map")
        assert (letter.error_class, letter.attempts) == ("UnmappableError", 1)
        assert letter.original.name in letter.error
        assert letter.original.topic == unique
        assert letter.original.offset is not None
        assert letter.bridge_version == VERSION
        assert abs(letter.failed_at_ms / 1000 - time.time()) < 300
    messages = pubsub.receive(subscription, GOOD)
    orders = order_per_key((m.ordering_key, int(m.data)) for m in messages)
    assert {key: sorted(order) for key, order in orders.items()} == orders
    assert sum(map(len, orders.values())) == GOOD
    # Mended by leaving out what does not fit; the largest by a place that takes it.
    redrive = run_bridge(
        "redrive", f"--from=kafka://{dead}", f"--to=pubsub://{topic}", "--attributes=metadata"
    )
    assert redrive.process.wait(60) == 1
    assert (redrive.report["sent"], redrive.report["failed"]) == (5, 1)
    redriven = {message.data for message in pubsub.receive(subscription, 5)}
    assert redriven == {b"", b"v"}
    rest = kafka.create(f"{unique}-rest", max_message_bytes="12000000")
    report = run_bridge("redrive", f"--from=kafka://{dead}", f"--to=kafka://{rest}").wait()
    assert (report["found"], report["sent"]) == (1, 1)
    assert [record.value for record in kafka.receive(rest, 1)] == [bytes(10_900_000)]


def test_poison_of_each_kind_leaves_10000_messages_on_their_way_to_kafka_in_order(
    kafka, pubsub, run_bridge, unique, client, tmp_path
):
    topic, subscription = pubsub.create(unique, ordered=True)
    kafka.create(unique, 4, cleanup_policy="compact", max_message_bytes="100000")
    good = [
        PubsubRecord(b"%d" % n, {"kafka.partition": str(n % 4)}, f"object-{n % KEYS}")
        for n in range(GOOD)
    ]
    place = {"kafka.partition": "1"}
    ahead = KafkaRecord("from", 1, 2, FAR_AHEAD_MS, key=b"k", value=b"ahead")
    poison = {
        "max.message.bytes": PubsubRecord(bytes(200_000), place, "large"),
        "has no key": PubsubRecord(b"no key", place),
        "is missing": PubsubRecord(b"no partition", {"a": "1"}, "o"),
        "partition": PubsubRecord(b"partition 99", {"kafka.partition": "99"}, "o"),
        "s ahead, the topic": to_pubsub(ahead, ToPubsubPolicy(Attributes.LOSSLESS)),
    }
    send_in_runs(pubsub, topic, in_the_middle(good, list(poison.values())))
    folder = tmp_path / "dead"
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--attributes=lossless",
        "--partition=source",
        f"--dead_letter={folder}",
        f"--max_messages={GOOD + len(poison)}",
        client,
    ).wait()
    assert (report["delivered"], report["dead_lettered"]) == (GOOD, len(poison))
    letters = letters_in(FileDeadLetterSource(str(folder)))
    assert len(letters) == len(poison)
    for reason, message in poison.items():
        [letter] = [letter for letter in letters if letter.original.data == message.data]
        assert letter.original.attributes == message.attributes
        assert letter.original.ordering_key == message.ordering_key
        assert letter.original.message_id
        assert letter.original.publish_time_ms
        assert reason in letter.error
        assert letter.original.message_id in letter.error
        assert letter.direction == "ps_to_kafka"
    records = kafka.receive(unique, GOOD)
    orders = order_per_key(((r.partition, r.key), int(r.value)) for r in records)
    assert {key: sorted(order) for key, order in orders.items()} == orders
    assert sum(map(len, orders.values())) == GOOD
    kafka.configure(
        unique,
        cleanup_policy="delete",
        max_message_bytes="300000",
        message_timestamp_after_max_ms=str(2**62),
    )
    report = run_bridge(
        "redrive", f"--from={folder}", f"--to=kafka://{unique}", "--attributes=lossless", client
    ).wait()
    assert report["sent"] == len(poison)
    redriven = [record for record in kafka.receive(unique) if record not in records]
    assert {record.value for record in redriven} == {message.data for message in poison.values()}
    assert [r.timestamp_ms for r in redriven if r.value == b"ahead"] == [FAR_AHEAD_MS]


def send_in_runs(pubsub, topic: str, messages: list[PubsubRecord]) -> None:
    """Publishes in order; a request holds one ordering key, as Pub/Sub wants it."""
    by_key: dict[str, list[PubsubRecord]] = {}
    for message in messages:
        by_key.setdefault(message.ordering_key, []).append(message)
    for of_key in by_key.values():
        pubsub.send(topic, of_key)


def test_letters_reach_a_pubsub_topic_whole_with_their_reason(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(unique)
    dead, dead_subscription = pubsub.create(f"{unique}-dead")
    kafka.create(unique, max_message_bytes="100000")
    pubsub.send(topic, [PubsubRecord(bytes(200_000), {"a": "é" * 500}), PubsubRecord(b"good")])
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        f"--dead_letter=pubsub://{dead}",
        "--max_messages=2",
    ).wait()
    assert (report["delivered"], report["dead_lettered"]) == (1, 1)
    [message] = pubsub.receive(dead_subscription, 1)
    [letter] = from_avro(message.data)
    assert letter.original.data == bytes(200_000)
    assert letter.original.attributes == {"a": "é" * 500}
    assert letter.error_class == message.attributes["dead_letter.error_class"] == "RefusedError"
    assert message.attributes["dead_letter.error"] == letter.error


def test_without_a_place_for_letters_the_first_one_ends_the_run_by_name(
    kafka, pubsub, run_bridge, unique
):
    topic, _ = pubsub.create(unique)
    kafka.create(unique)
    kafka.send([KafkaRecord(unique, value=None)])
    bridge = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--attributes=none",
        "--max_messages=1",
    )
    assert bridge.process.wait(60) == 1
    assert f"{unique}/0@0: the value is null" in bridge.output
    assert "--dead_letter" in bridge.output.splitlines()[-1]
    assert kafka.committed(unique) == 0


@pytest.mark.parametrize("kind", ["refused by Kafka", "unmappable"])
def test_while_the_place_for_letters_is_down_nothing_is_committed(
    kafka, pubsub, run_bridge, unique, tmp_path, kind
):
    topic, subscription = pubsub.create(unique)
    back, _ = pubsub.create(f"{unique}-back")
    kafka.create(unique, max_message_bytes="100000")
    source = kafka.create(f"{unique}-source")
    folder = tmp_path / "dead"
    flags = [f"--dead_letter={folder}", "--delivery_timeout_s=5"]
    if kind == "unmappable":
        command = [
            "kafka_to_ps",
            f"--kafka_topics={source}",
            f"--group_id={unique}",
            f"--pubsub_topic={back}",
            "--attributes=none",
            *flags,
        ]
        kafka.send([KafkaRecord(source, value=b"good")])
    else:
        command = [
            "ps_to_kafka",
            f"--subscription={subscription}",
            f"--kafka_topic={unique}",
            *flags,
        ]
        pubsub.send(topic, [PubsubRecord(b"good")])
    bridge = run_bridge(*command)
    if kind == "unmappable":
        until(lambda: kafka.committed(unique) == 1, "the good one is committed")
    else:
        until(lambda: kafka.size(unique) == 1, "the good one is delivered")
    if folder.exists():
        folder.rmdir()
    folder.write_text("in the way")
    if kind == "unmappable":
        kafka.send([KafkaRecord(source, value=b"")])
    else:
        pubsub.send(topic, [PubsubRecord(bytes(200_000))])
    assert bridge.process.wait(60) == 1
    assert str(folder) in bridge.output.splitlines()[-1]
    if kind == "unmappable":
        assert kafka.committed(unique) == 1
    folder.unlink()
    report = run_bridge(*command, "--idle_seconds=4").wait()
    assert report["dead_lettered"] == 1
    assert len(letters_in(FileDeadLetterSource(str(folder)))) == 1
