"""The bridge as a process, both ways: nothing lost, nothing changed; a restart goes on."""

from __future__ import annotations

import io
import os
import random
import subprocess
import time
from pathlib import Path

import fastavro
import pytest
from ends import Bridge, until
from slow_pubsub import SlowPubSub

from transforms.records import KafkaRecord, PubsubRecord

ALERTS = Path(__file__).parents[3] / "shared" / "data" / "alerts"


def alert_packets() -> list[bytes]:
    """Real packets where they are at hand, else those that the project makes."""
    packets = [path.read_bytes() for path in sorted(ALERTS.glob("*.avro"))]
    if packets:
        return packets
    from pipelines.alerts import alert

    return [alert(number) for number in range(4)]


def mixed_payloads(count: int) -> list[bytes]:
    """0 B to 1 MB, no two alike apart from the empty ones, each at a random place."""
    rng = random.Random(count)
    sizes = [1_000_000] * 20 + [74_000] * 200 + [0] * 50 + [1] * 50
    sizes += [1_000] * (count - len(sizes) - 4)
    payloads = [rng.randbytes(size) for size in sizes] + (alert_packets() * 4)[:4]
    rng.shuffle(payloads)
    return payloads


def fields(record: KafkaRecord) -> tuple:
    return record.key, record.value


def keys(count: int) -> list[bytes | None]:
    """Null, binary and text keys."""
    rng = random.Random(1)
    return [rng.choice([None, rng.randbytes(16), b"key-%d" % (n % 50)]) for n in range(count)]


# -- nothing changed ---------------------------------------------------------------------------


def test_20000_mixed_messages_reach_kafka_with_identical_bytes(
    kafka, pubsub, run_bridge, client, unique
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 4)
    payloads = mixed_payloads(20_000)
    pubsub.send(topic, [PubsubRecord(data, {"n": str(n)}) for n, data in enumerate(payloads)])
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--max_messages=20000",
        client,
    ).wait()
    assert (report["read"], report["delivered"]) == (20_000, 20_000)
    records = kafka.receive(unique, 20_000)
    assert len(records) == 20_000
    arrived = {int(dict(record.headers)["n"]): record.value for record in records}
    assert all(arrived[n] == data for n, data in enumerate(payloads))


def test_20000_mixed_records_reach_pubsub_with_identical_bytes(
    kafka, pubsub, run_bridge, client, unique
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 4)
    payloads, their_keys = mixed_payloads(20_000), keys(20_000)
    kafka.send(
        KafkaRecord(unique, key=key, value=value, headers=(("n", b"%d" % n),))
        for n, (key, value) in enumerate(zip(their_keys, payloads, strict=True))
    )
    report = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--max_messages=20000",
        client,
    ).wait()
    assert (report["read"], report["delivered"]) == (20_000, 20_000)
    messages = pubsub.receive(subscription, 20_000)
    assert len(messages) == 20_000
    arrived = {int(message.attributes["n"]): message for message in messages}
    for n, (key, value) in enumerate(zip(their_keys, payloads, strict=True)):
        assert arrived[n].data == value
        if key is not None and key.startswith(b"key-"):
            assert arrived[n].attributes["key"] == key.decode()
    assert kafka.committed(unique) == 20_000


def test_an_avro_alert_that_went_both_ways_is_still_readable_field_for_field(
    kafka, pubsub, run_bridge, unique
):
    packets = alert_packets()
    topic, subscription = pubsub.create(f"{unique}-in")
    back, back_subscription = pubsub.create(f"{unique}-out")
    kafka.create(unique)
    pubsub.send(topic, [PubsubRecord(packet) for packet in packets])
    count = f"--max_messages={len(packets)}"
    run_bridge(
        "ps_to_kafka", f"--subscription={subscription}", f"--kafka_topic={unique}", count
    ).wait()
    run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={back}",
        count,
    ).wait()
    returned = pubsub.receive(back_subscription, len(packets))

    def read(payloads) -> list:
        return sorted(
            (list(fastavro.reader(io.BytesIO(payload))) for payload in payloads), key=repr
        )

    assert read(message.data for message in returned) == read(packets)


# -- Kafka's groups --------------------------------------------------------------------------------


@pytest.mark.parametrize("assignment", ["group", "shards"])
def test_a_new_partition_and_a_new_matching_topic_are_picked_up_while_running(
    kafka, pubsub, run_bridge, unique, client, assignment
):
    topic, subscription = pubsub.create(unique)
    first, second = kafka.create(f"{unique}.one"), f"{unique}.two"
    bridge = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics=^{unique}.*",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--metadata_interval_s=1",
        "--start=latest",
        f"--assignment={assignment}",
        client,
    )
    until(lambda: f"assigned {first}/0" in bridge.output, "the bridge reads")
    kafka.add_partitions(first, 3)
    kafka.create(second, 2)
    kafka.send(KafkaRecord(first, partition=n, value=b"one-%d" % n) for n in range(3))
    kafka.send(KafkaRecord(second, partition=n, value=b"two-%d" % n) for n in range(2))
    arrived = {message.data for message in pubsub.receive(subscription, 5)}
    assert arrived == {b"one-0", b"one-1", b"one-2", b"two-0", b"two-1"}
    assert bridge.stop()["delivered"] == 5


def test_1000_keys_land_where_javas_client_puts_them(kafka, pubsub, run_bridge, unique, client):
    from java_partitioner import partition_of

    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 7)
    pubsub.send(topic, [PubsubRecord(b"x", {"key": f"key-{n}"}) for n in range(1_000)])
    run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--max_messages=1000",
        client,
    ).wait()
    records = kafka.receive(unique, 1_000)
    assert len({record.key for record in records}) == 1_000
    assert all(record.partition == partition_of(record.key, 7) for record in records)


# -- order, memory, time -----------------------------------------------------------------------


def test_5000_messages_of_one_ordering_key_pass_in_order_within_20_seconds(
    kafka, pubsub, run_bridge, unique
):
    topic, subscription = pubsub.create(unique, ordered=True)
    kafka.create(unique, 3)
    pubsub.send(topic, [PubsubRecord(b"%d" % n, ordering_key="one") for n in range(5_000)])
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--max_messages=5000",
        "--max_seconds=20",
    ).wait()
    assert report["delivered"] == 5_000
    records = kafka.receive(unique, 5_000)
    assert [int(record.value) for record in records] == list(range(5_000))
    assert {record.key for record in records} == {b"one"}


def to_kafka(kafka, pubsub, unique: str, payloads: list[bytes]) -> list[str]:
    """ps_to_kafka with these messages waiting; returns its flags."""
    kafka.create(unique, 4)
    topic, subscription = pubsub.create(unique)
    pubsub.send(topic, [PubsubRecord(payload) for payload in payloads])
    return [f"--subscription={subscription}", f"--kafka_topic={unique}"]


def to_pubsub(kafka, pubsub, unique: str, payloads: list[bytes]) -> list[str]:
    """kafka_to_ps with these records waiting, as many in each of four partitions."""
    kafka.create(unique, 4)
    topic, _ = pubsub.create(unique)
    kafka.send(KafkaRecord(unique, n % 4, value=payload) for n, payload in enumerate(payloads))
    return [f"--kafka_topics={unique}", f"--group_id={unique}", f"--pubsub_topic={topic}"]


def resident_bytes(process_id: int) -> int:
    size = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process_id)], capture_output=True, text=True, timeout=10
    ).stdout
    return int(size or 0) * 1024


@pytest.mark.parametrize("fill", [to_kafka, to_pubsub], ids=["ps_to_kafka", "kafka_to_ps"])
def test_100000_small_messages_keep_the_process_below_500_megabytes(
    kafka, pubsub, run_bridge, unique, fill
):
    flags = fill(kafka, pubsub, unique, [b"%d-" % n + bytes(1_000) for n in range(100_000)])
    pipeline = "ps_to_kafka" if fill is to_kafka else "kafka_to_ps"
    bridge = run_bridge(pipeline, *flags, "--max_messages=100000")
    largest = 0
    while bridge.process.poll() is None:
        largest = max(largest, resident_bytes(bridge.process.pid))
        time.sleep(0.05)
    assert bridge.wait()["delivered"] == 100_000
    assert 50_000_000 < largest < 500_000_000


def test_a_slow_destination_holds_the_source_back_and_memory_stays_bounded(
    kafka, stack, tmp_path, unique
):
    limit = 100_000_000
    kafka.create(unique, 4)
    payload = os.urandom(74_000)
    for _ in range(20):
        kafka.send(KafkaRecord(unique, value=payload) for _ in range(1_000))
    with SlowPubSub(rate=50) as slow:
        env = {**stack.env(), "PUBSUB_EMULATOR_HOST": slow.address}
        with Bridge(
            "kafka_to_ps",
            tmp_path,
            env,
            f"--kafka_topics={unique}",
            f"--group_id={unique}",
            "--pubsub_topic=projects/test/topics/slow",
            f"--max_in_flight_bytes={limit}",
        ) as bridge:
            until(lambda: slow.published > 0, "the first message is published")
            before = resident_bytes(bridge.process.pid)
            until(lambda: slow.published > 750, "15 seconds at 50 messages a second")
            assert resident_bytes(bridge.process.pid) - before < 2 * limit
