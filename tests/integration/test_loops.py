"""Loop safety: what comes back is dropped once and counted; what only meets or parts is not."""

from __future__ import annotations

import pytest

from transforms.records import KafkaRecord, PubsubRecord


@pytest.mark.parametrize("attributes", ["metadata", "lossless"])
def test_in_a_ring_each_message_passes_once(kafka, pubsub, run_bridge, unique, attributes):
    kafka.create(unique, 2)
    topic, subscription = pubsub.create(unique)
    observer = f"{subscription}-observer"
    pubsub.admin.create_subscription(observer, topic)
    kafka.send(KafkaRecord(unique, key=b"k", value=b"kafka-%d" % n) for n in range(50))
    pubsub.send(topic, [PubsubRecord(b"pubsub-%d" % n) for n in range(50)])
    flags = [f"--attributes={attributes}", "--idle_seconds=4"]
    there = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        *flags,
    )
    back = run_bridge(
        "ps_to_kafka", f"--subscription={subscription}", f"--kafka_topic={unique}", *flags
    )
    for report in (there.wait(), back.wait()):
        assert (report["read"], report["delivered"], report["returns_dropped"]) == (100, 50, 50)
    sent = {b"%s-%d" % (side, n) for side in (b"kafka", b"pubsub") for n in range(50)}
    in_kafka = [record.value for record in kafka.receive(unique, 100)]
    in_pubsub = [message.data for message in pubsub.receive(observer, 100)]
    assert sorted(in_kafka) == sorted(in_pubsub) == sorted(sent)


def test_many_to_one_and_one_to_many_are_no_loops(kafka, pubsub, run_bridge, unique):
    sources = [kafka.create(f"{unique}-{letter}") for letter in "ab"]
    topic, subscription = pubsub.create(unique)
    pubsub.admin.create_subscription(f"{subscription}-d", topic)
    kafka.send(KafkaRecord(source, value=source.encode()) for source in sources)
    report = run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={','.join(sources)}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--max_messages=2",
    ).wait()
    assert (report["delivered"], report["returns_dropped"]) == (2, 0)
    for way, destination in ((subscription, f"{unique}-c"), (f"{subscription}-d", f"{unique}-d")):
        kafka.create(destination)
        report = run_bridge(
            "ps_to_kafka",
            f"--subscription={way}",
            f"--kafka_topic={destination}",
            "--max_messages=2",
        ).wait()
        assert (report["delivered"], report["returns_dropped"]) == (2, 0)


def test_what_may_return_is_let_through(kafka, pubsub, run_bridge, unique):
    kafka.create(unique)
    topic, subscription = pubsub.create(unique)
    kafka.send([KafkaRecord(unique, value=b"lost and found")])
    run_bridge(
        "kafka_to_ps",
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--max_messages=1",
    ).wait()
    report = run_bridge(
        "ps_to_kafka",
        f"--subscription={subscription}",
        f"--kafka_topic={unique}",
        "--returns=pass",
        "--max_messages=1",
    ).wait()
    assert report["delivered"] == 1
    assert kafka.size(unique) == 2
