"""Backfills and bounded runs on real servers: exact, resumable, and beside whatever is live."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone

import confluent_kafka
import pytest
from ends import PROJECT, ROOT, until
from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration

from transforms.records import KafkaRecord, PubsubRecord

NOON_MS = 1_795_000_000_000
DEADLINE_S = 60


def rfc3339(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def sent(topic: str, count: int, partitions: int = 1) -> list[KafkaRecord]:
    """One record a millisecond from noon on, in turn on each partition."""
    return [
        KafkaRecord(topic, n % partitions, timestamp_ms=NOON_MS + n, value=b"%d" % n)
        for n in range(count)
    ]


def numbers(messages) -> list[int]:
    return sorted(int(message.data) for message in messages)


@pytest.fixture
def kept(pubsub, unique):
    """A Pub/Sub topic that keeps its messages, without any subscription."""
    name = f"{PROJECT}/topics/{unique}-kept"
    with pubsub_v1.PublisherClient() as client:
        retention = Duration(seconds=86_400)
        client.create_topic(request={"name": name, "message_retention_duration": retention})
    return name


@pytest.fixture
def to_pubsub(kafka, pubsub, unique):
    """Flags from a Kafka topic, which is to be made, to a Pub/Sub topic; and its subscription."""
    topic, subscription = pubsub.create(unique)
    flags = [f"--kafka_topics={unique}", f"--pubsub_topic={topic}", f"--group_id={unique}"]
    return flags, subscription


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [0, 1, 2])
def test_a_time_range_is_exact_to_the_millisecond_at_both_ends(
    to_pubsub, kafka, pubsub, run_bridge, client, unique, end
):
    """Begin and end on a record's time, just before and just after it: [5, 15) + end."""
    flags, subscription = to_pubsub
    kafka.create(unique, 2)
    every_other = [r._replace(timestamp_ms=NOON_MS + 2 * n) for n, r in enumerate(sent(unique, 30))]
    kafka.send(record._replace(partition=n % 2) for n, record in enumerate(every_other))
    begin, stop = NOON_MS + 10 + end, NOON_MS + 30 + end
    report = run_bridge(
        "backfill", *flags, f"--from={rfc3339(begin)}", f"--to={rfc3339(stop)}", client
    ).wait()
    wanted = [n for n, r in enumerate(every_other) if begin <= r.timestamp_ms < stop]
    assert report["read"] == report["delivered"] == len(wanted) == 10
    assert numbers(pubsub.receive(subscription, 10)) == wanted


def test_a_range_that_ends_amid_the_data_is_exact_over_many_bundles(
    to_pubsub, kafka, pubsub, run_bridge, client, unique
):
    """Partitions come to their end one after the other, while others are read on."""
    flags, subscription = to_pubsub
    kafka.create(unique, 4)
    kafka.send(r._replace(partition=n % 7 % 4) for n, r in enumerate(sent(unique, 3000)))
    span = [f"--from={rfc3339(NOON_MS + 100)}", f"--to={rfc3339(NOON_MS + 2100)}"]
    slowly = ["--max_rate=1000", "--commit_interval_s=0.2"]
    assert run_bridge("backfill", *flags, *span, *slowly, client).wait()["read"] == 2000
    assert numbers(pubsub.receive(subscription, 2000)) == list(range(100, 2100))


def test_a_stop_is_exact_where_offsets_hold_no_records(
    to_pubsub, kafka, pubsub, run_bridge, client, unique
):
    """Every second transaction is aborted, the last offsets are markers, one transaction is open:
    what is there now ends before it."""
    flags, subscription = to_pubsub
    kafka.create(unique)
    settings = {"bootstrap.servers": kafka.config.bootstrap_servers}
    producer = confluent_kafka.Producer({**settings, "transactional.id": unique})
    producer.init_transactions(DEADLINE_S)
    for number in range(6):
        producer.begin_transaction()
        producer.produce(unique, b"%d" % number)
        producer.flush(DEADLINE_S)
        end = producer.abort_transaction if number % 2 else producer.commit_transaction
        end(DEADLINE_S)
    still_open = confluent_kafka.Producer({**settings, "transactional.id": f"{unique}-open"})
    still_open.init_transactions(DEADLINE_S)
    still_open.begin_transaction()
    still_open.produce(unique, b"100")
    still_open.flush(DEADLINE_S)

    report = run_bridge("kafka_to_ps", *flags, "--stop=now", client).wait()
    assert report["read"] == 3
    assert numbers(pubsub.receive(subscription, 3)) == [0, 2, 4]
    assert kafka.offsets(unique) == {(unique, 0): 12}

    still_open.commit_transaction(DEADLINE_S)
    report = run_bridge("kafka_to_ps", *flags, "--stop=now", client).wait()
    assert numbers(pubsub.receive(subscription, 1)) == [100]
    assert kafka.offsets(unique) == {(unique, 0): 14}


def test_a_stop_in_a_file_is_exact_to_the_offset_and_partitions_that_it_does_not_name_stay_unread(
    to_pubsub, kafka, pubsub, run_bridge, client, unique, tmp_path
):
    flags, subscription = to_pubsub
    kafka.create(unique, 3)
    kafka.send(sent(unique, 90, 3))
    stop = tmp_path / "stop.json"
    stop.write_text(json.dumps({unique: {"0": 7, "1": 30}}))
    report = run_bridge("kafka_to_ps", *flags, f"--stop=offsets={stop}", client).wait()
    assert report["offsets"][unique] == {
        "0": {"first": 0, "last": 6},
        "1": {"first": 0, "last": 29},
    }
    assert len(pubsub.receive(subscription, 37)) == 37
    assert kafka.offsets(unique) == {(unique, 0): 7, (unique, 1): 30}


# -- beside the live bridge ------------------------------------------------------------------------


def test_a_backfill_neither_joins_nor_moves_the_live_group(
    to_pubsub, kafka, pubsub, run_bridge, client, unique
):
    flags, subscription = to_pubsub
    kafka.create(unique, 2)
    kafka.send(sent(unique, 200, 2))
    live = run_bridge("kafka_to_ps", *flags, "--commit_interval_s=1")
    until(lambda: kafka.committed(unique) == 200, "the live bridge has committed")
    assert len(pubsub.receive(subscription, 200)) == 200
    assigned = live.output.count("assigned")
    span = [f"--from={rfc3339(NOON_MS + 50)}", f"--to={rfc3339(NOON_MS + 150)}"]
    run_bridge("backfill", *flags, *span, client).wait()
    assert numbers(pubsub.receive(subscription, 100)) == list(range(50, 150))
    kafka.send(sent(unique, 10, 2))
    until(lambda: kafka.committed(unique) == 210, "the live bridge goes on")
    live.stop()
    assert live.output.count("assigned") == assigned
    assert len(pubsub.receive(subscription, 10)) == 10


# -- again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_a_file", [False, True])
def test_a_backfill_that_is_killed_goes_on_and_one_that_is_done_does_nothing(
    to_pubsub, kafka, pubsub, run_bridge, unique, tmp_path, in_a_file
):
    flags, subscription = to_pubsub
    kafka.create(unique, 2)
    kafka.send(sent(unique, 2000, 2))
    if in_a_file:
        flags = [*flags, f"--state={tmp_path / 'state.json'}"]
    slow = run_bridge("backfill", *flags, "--max_rate=400", "--commit_interval_s=2")
    seen: list[PubsubRecord] = []
    until(lambda: seen.extend(pubsub.pull(subscription)) or len(seen) > 1000, "it is under way")
    slow.kill()
    report = run_bridge("backfill", *flags, "--idle_seconds=2").wait()
    assert 0 < report["delivered_before"] < report["read"] < 2000
    seen += pubsub.receive(subscription, 2000 - len(seen))
    assert numbers(seen) == list(range(2000))
    assert subscriptions_of(pubsub_topic(flags)) == [subscription]

    done = run_bridge("backfill", *flags)
    assert done.wait()["read"] == 0
    assert "is done already" in done.output
    assert run_bridge("backfill", *flags, "--force").wait()["read"] == 2000
    mine = {g for g in kafka.groups() if g.startswith(unique)}
    assert mine == (set() if in_a_file else {f"{unique}-backfill-{name_in(done.output)}"})


def pubsub_topic(flags: list[str]) -> str:
    return next(flag for flag in flags if flag.startswith("--pubsub_topic=")).partition("=")[2]


def name_in(output: str) -> str:
    return output.split("backfill ")[1].split(":")[0].split(" ")[0]


def test_a_backfill_that_a_signal_stops_says_so_by_its_status_and_goes_on(
    to_pubsub, kafka, pubsub, run_bridge, unique
):
    flags, subscription = to_pubsub
    kafka.create(unique)
    kafka.send(sent(unique, 1000))
    slow = run_bridge("backfill", *flags, "--max_rate=200")
    until(lambda: len(pubsub.pull(subscription)) > 0, "it is under way")
    slow.process.send_signal(signal.SIGTERM)
    assert slow.process.wait(30) == 128 + signal.SIGTERM
    assert slow.report["read"] == slow.report["delivered"]
    report = run_bridge("backfill", *flags).wait()
    assert slow.report["read"] + report["read"] == 1000


def test_what_the_audit_misses_is_sent_again_and_nothing_else(
    to_pubsub, kafka, pubsub, run_bridge, client, unique, tmp_path
):
    flags, subscription = to_pubsub
    kafka.create(unique, 2)
    kafka.send(sent(unique, 200, 2))
    missing = tmp_path / "missing.json"
    missing.write_text(json.dumps({unique: {"0": "3-5,50", "1": "99"}}))
    report = run_bridge("backfill", *flags, f"--offsets={missing}", client).wait()
    assert report["read"] == 5
    assert numbers(pubsub.receive(subscription, 5)) == [6, 8, 10, 100, 199]


def test_a_dry_run_says_what_it_would_move_and_moves_nothing(
    to_pubsub, kafka, pubsub, stack, unique
):
    flags, subscription = to_pubsub
    kafka.create(unique, 2)
    kafka.send(sent(unique, 200, 2))
    until_ms = f"--to={rfc3339(NOON_MS + 50)}"
    command = [sys.executable, "-m", "pipelines.backfill", *flags, until_ms, "--dry_run"]
    done = subprocess.run(
        [*command, f"--bootstrap_servers={stack.bootstrap_servers}"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert f"{unique}/0     0-24       25             0" in done.stdout
    assert "50 offsets to move" in done.stdout
    assert not [group for group in kafka.groups() if group.startswith(unique)]
    assert pubsub.pull(subscription) == []


# -- from Pub/Sub ----------------------------------------------------------------------------------


def test_messages_of_a_time_reach_kafka_through_a_subscription_that_is_gone_afterwards(
    kafka, pubsub, run_bridge, client, kept, unique
):
    """Exact to the millisecond: the range begins with one message, and ends before another."""
    kafka.create(unique)
    for number in range(30):
        pubsub.send(kept, [PubsubRecord(b"%d" % number)])
        time.sleep(0.005)
    times = publish_times(pubsub, kept, unique)
    flags = [
        f"--create_subscription_from={kept}",
        f"--kafka_topic={unique}",
        f"--group_id={unique}",
        f"--from={rfc3339(times[10])}",
        f"--to={rfc3339(times[20])}",
        "--idle_seconds=3",
        client,
    ]
    report = run_bridge("backfill", *flags).wait()
    wanted = [n for n, at in enumerate(times) if times[10] <= at < times[20]]
    assert sorted(int(record.value) for record in kafka.receive(unique)) == wanted
    assert report["delivered"] == len(wanted)
    assert subscriptions_of(kept) == []
    again = run_bridge("backfill", *flags)
    assert again.wait()["read"] == 0
    assert "is done already" in again.output


def test_a_backfill_from_pubsub_that_is_killed_loses_nothing_and_delivers_nothing_twice(
    kafka, pubsub, run_bridge, kept, unique
):
    kafka.create(unique, 2)
    pubsub.send(kept, [PubsubRecord(b"%d" % number) for number in range(2000)])
    flags = [
        f"--create_subscription_from={kept}",
        f"--kafka_topic={unique}",
        f"--group_id={unique}",
    ]
    for count in (400, 800):
        slow = run_bridge("backfill", *flags, "--max_rate=400")
        until(lambda least=count: kafka.size(unique) > least, "it is under way")
        slow.kill()
    report = run_bridge("backfill", *flags).wait()
    assert report["delivered_before"] > 0
    assert sorted(int(record.value) for record in kafka.receive(unique)) == list(range(2000))


@pytest.mark.parametrize("trouble", ["stopped", "slow"])
def test_a_backfill_from_pubsub_that_is_held_up_is_not_taken_for_done(
    kafka, pubsub, run_bridge, kept, unique, trouble
):
    """Longer than the leases and than the time after which a subscription counts as empty."""
    kafka.create(unique)
    pubsub.send(kept, [PubsubRecord(b"%d" % number) for number in range(600)])
    flags = [
        f"--create_subscription_from={kept}",
        f"--kafka_topic={unique}",
        f"--group_id={unique}",
    ]
    if trouble == "slow":
        run_bridge("backfill", *flags, "--max_rate=50", "--idle_seconds=0.5").wait()
    else:
        running = run_bridge("backfill", *flags, "--max_rate=200", "--idle_seconds=5")
        until(lambda: kafka.size(unique) > 100, "it is under way")
        running.pause()
        time.sleep(12)
        running.resume()
        running.wait()
    assert {int(record.value) for record in kafka.receive(unique)} == set(range(600))


def test_a_range_of_pubsub_that_is_not_over_is_not_done(kafka, pubsub, run_bridge, kept, unique):
    kafka.create(unique)
    flags = [
        f"--create_subscription_from={kept}",
        f"--kafka_topic={unique}",
        f"--group_id={unique}",
    ]
    for number in range(2):
        pubsub.send(kept, [PubsubRecord(b"%d" % number)])
        run = run_bridge("backfill", *flags, "--idle_seconds=2")
        assert run.wait()["delivered"] == 1
        assert "is not over: the same command moves what has come since" in run.output
    assert len(subscriptions_of(kept)) == 1


def publish_times(pubsub, topic: str, name: str) -> list[int]:
    """Of the messages in order, by a subscription that is moved back."""
    subscription = f"{PROJECT}/subscriptions/{name}-look"
    pubsub.admin.create_subscription(subscription, topic)
    pubsub.admin.seek(subscription, timestamp_ms=0)
    found = {int(m.data): m.publish_time_ms for m in pubsub.receive(subscription, 30)}
    pubsub.admin.delete_subscription(subscription)
    return [found[number] for number in sorted(found)]


def subscriptions_of(topic: str) -> list[str]:
    with pubsub_v1.PublisherClient() as client:
        return list(client.list_topic_subscriptions(topic=topic, timeout=10))
