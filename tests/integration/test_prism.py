"""The same graphs on Prism, where its binary is at hand (on the PATH, or in Go's bin folder)."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from ends import until

from transforms.records import KafkaRecord, PubsubRecord

PRISM = shutil.which("prism") or shutil.which("prism", path=str(Path.home() / "go" / "bin"))
pytestmark = pytest.mark.skipif(PRISM is None, reason="no prism binary on the PATH or in ~/go/bin")
ON_PRISM = ["--runner=PrismRunner", f"--prism_location={PRISM}"]


def test_both_directions_deliver_on_prism_and_stop_on_sigterm(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(f"{unique}-in")
    back, back_subscription = pubsub.create(f"{unique}-out")
    kafka.create(unique, 4)
    payloads = {b"%d" % n for n in range(3_000)}
    pubsub.send(topic, [PubsubRecord(payload) for payload in payloads])
    there = run_bridge(
        "ps_to_kafka", *ON_PRISM, f"--subscription={subscription}", f"--kafka_topic={unique}"
    )
    assert {record.value for record in kafka.receive(unique, 3_000)} == payloads
    assert there.stop()["delivered"] == 3_000
    back_again = run_bridge(
        "kafka_to_ps",
        *ON_PRISM,
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={back}",
    )
    arrived = [message.data for message in pubsub.receive(back_subscription, 3_000)]
    assert len(arrived) == 3_000
    assert set(arrived) == payloads
    assert back_again.stop()["delivered"] == 3_000
    assert kafka.committed(unique) == 3_000


def test_a_finite_run_on_prism_ends_by_itself_with_each_shard_at_its_end(
    kafka, pubsub, run_bridge, unique
):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 4)
    kafka.send(KafkaRecord(unique, n % 4, value=b"%d" % n) for n in range(2_000))
    run_bridge(
        "kafka_to_ps",
        *ON_PRISM,
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
        "--stop=now",
        "--shards=2",
    ).wait()
    arrived = pubsub.receive(subscription, 2_000)
    assert sorted(int(message.data) for message in arrived) == list(range(2_000))
    assert kafka.committed(unique) == 2_000


def test_an_idle_bridge_on_prism_stays_one_member_of_its_group(kafka, pubsub, run_bridge, unique):
    topic, subscription = pubsub.create(unique)
    kafka.create(unique, 4)
    bridge = run_bridge(
        "kafka_to_ps",
        *ON_PRISM,
        f"--kafka_topics={unique}",
        f"--group_id={unique}",
        f"--pubsub_topic={topic}",
    )
    until(lambda: kafka.admin.group_members(unique), "the bridge joins")
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        assert len(kafka.admin.group_members(unique)) == 1
        time.sleep(0.5)
    kafka.send(KafkaRecord(unique, partition=n, value=b"%d" % n) for n in range(4))
    assert len(pubsub.receive(subscription, 4)) == 4
    assert bridge.stop()["delivered"] == 4
    assert bridge.output.count("INFO assigned") == 1
