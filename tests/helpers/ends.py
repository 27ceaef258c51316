"""Both ends of a bridge, for tests: make topics, send, receive, and run the bridge beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from google.cloud import pubsub_v1
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from transforms.deadlines import retried
from transforms.kafka.client import (
    ConsumerConfig,
    KafkaConfig,
    Partition,
    ProducerConfig,
    offsets_of,
)
from transforms.kafka.clients import open_admin, open_consumer, open_producer
from transforms.pubsub import client as pubsub
from transforms.records import KafkaRecord, PubsubRecord

ROOT = Path(__file__).parents[2]
PROJECT = "projects/test"
DEADLINE_S = 60.0


def until(condition, what: str, deadline_s: float = DEADLINE_S):
    """Waits until a condition holds, and returns its result; fails by name if it never does."""
    ends = time.monotonic() + deadline_s
    while not (found := condition()):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.02)
    return found


class Kafka:
    """A real broker's topics, read and written past the bridge."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.config = KafkaConfig(bootstrap_servers)
        self.admin = open_admin(self.config, 20)
        self.producer = open_producer(
            self.config, ProducerConfig(max_message_bytes=11_000_000, buffer_bytes=200_000_000)
        )

    def create(self, topic: str, partitions: int = 1, replication: int = 1, **configs: str) -> str:
        """Makes a topic; `max_message_bytes="2000"` sets `max.message.bytes`."""
        settings = {name.replace("_", "."): value for name, value in configs.items()}
        spec = {
            "num_partitions": partitions,
            "replication_factor": replication,
            "configs": settings,
        }
        with closing(self._raw_admin()) as admin:
            admin.create_topics({topic: spec}, wait_for_metadata=True)
        return topic

    def configure(self, topic: str, **configs: str) -> None:
        """Changes settings of a topic."""
        settings = {name.replace("_", "."): value for name, value in configs.items()}
        with closing(self._raw_admin()) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])

    def add_partitions(self, topic: str, partitions: int) -> None:
        with closing(self._raw_admin()) as admin:
            admin.create_partitions({topic: partitions})

    def _raw_admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.config.bootstrap_servers)

    def send(self, records: Iterable[KafkaRecord]) -> None:
        self.producer.produce(list(records))
        assert self.producer.flush(60) == []

    def receive(self, topic: str, count: int | None = None) -> list[KafkaRecord]:
        """All records of a topic, to its present end; waits until there are `count`."""
        partitions = self.admin.partitions([topic])
        ends: dict[Partition, int] = {}

        def complete() -> bool:
            ends.update(self.admin.end_offsets(partitions))
            return count is None or sum(ends.values()) >= count

        until(complete, f"{count} records in {topic}")
        consumer = open_consumer(self.config, ConsumerConfig(f"reader-{topic}"))
        records: list[KafkaRecord] = []

        def read() -> bool:
            records.extend(consumer.poll(0.5, 1000))
            return len(records) >= sum(ends.values())

        try:
            consumer.assign(dict.fromkeys(partitions, 0))
            until(read, f"all of {topic}")
            return records
        finally:
            consumer.close()

    def size(self, topic: str) -> int:
        return sum(self.admin.end_offsets(self.admin.partitions([topic])).values())

    def groups(self) -> list[str]:
        """All groups that the cluster knows."""
        with closing(self._raw_admin()) as admin:
            return [group["group_id"] for group in admin.list_groups()]

    def offsets(self, group_id: str) -> dict[Partition, int]:
        """What a group has committed; of a new one once it has a coordinator."""
        return offsets_of(retried(partial(self.admin.committed, group_id), DEADLINE_S))

    def committed(self, group_id: str) -> int:
        """The sum of its offsets."""
        return sum(self.offsets(group_id).values())

    def close(self) -> None:
        self.producer.close()
        self.admin.close()


class PubSub:
    """The emulator's topics, read and written past the bridge."""

    def __init__(self) -> None:
        self.admin = pubsub.open_admin(10)

    def create(self, name: str, ordered: bool = False) -> tuple[str, str]:
        """(topic, subscription)"""
        topic, subscription = f"{PROJECT}/topics/{name}", f"{PROJECT}/subscriptions/{name}"
        self.admin.create_topic(topic)
        self.admin.create_subscription(subscription, topic, ordered=ordered)
        return topic, subscription

    def send(self, topic: str, messages: Sequence[PubsubRecord]) -> None:
        publisher = pubsub.Publisher(topic, 60)
        batch, size = [], 0
        for message in messages:
            if batch and (len(batch) == 1000 or size + len(message.data) > 5_000_000):
                publisher.publish(batch)
                batch, size = [], 0
            batch.append(pubsub.to_wire(message))
            size += len(message.data)
        publisher.publish(batch)
        publisher.close()

    def pull(self, subscription: str, timeout_s: float = 0.5) -> list[PubsubRecord]:
        """Pulls once, and acknowledges."""
        subscriber = pubsub.Subscriber(subscription)
        try:
            pulled = subscriber.pull(1000, timeout_s)
            if pulled:
                subscriber.acknowledge(pulled.ack_ids, 10)
            return pulled.records
        finally:
            subscriber.close()

    def receive(self, subscription: str, count: int) -> list[PubsubRecord]:
        """Pulls and acknowledges until `count` have come, then until one pull is empty."""
        messages: list[PubsubRecord] = []

        def pull() -> bool:
            pulled = self.pull(subscription, 5.0 if len(messages) < count else 0.5)
            messages.extend(pulled)
            return not pulled and len(messages) >= count

        until(pull, f"{count} messages from {subscription}")
        return messages

    def snapshot(self, name: str, subscription: str) -> None:
        with pubsub_v1.SubscriberClient() as client:
            client.create_snapshot(
                name=f"{PROJECT}/snapshots/{name}", subscription=subscription, timeout=10
            )

    def close(self) -> None:
        self.admin.close()


class Bridge:
    """A bridge as its users run it: a process of its own.

    Args:
      folder: takes the report and what the process prints.
      env: added to the environment; says where both services are.
      within: a command that runs the bridge in surroundings of its own, and becomes it (`exec`).
      reports: it writes a report, as it can where it counts itself.
    """

    def __init__(
        self,
        pipeline: str,
        folder: Path,
        env: dict[str, str],
        *flags: str,
        within: Sequence[str] = (),
        reports: bool = True,
    ) -> None:
        number = len(list(folder.glob("*.log")))
        self._report = folder / f"{number}-{pipeline}.json"
        self._log = folder / f"{number}-{pipeline}.log"
        command = [
            *within,
            sys.executable,
            "-m",
            f"pipelines.{pipeline}",
            *([f"--report={self._report}"] if reports else []),
            *flags,
        ]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **env}, stdout=log, stderr=log
            )

    def wait(self, deadline_s: float = 120) -> dict:
        """Waits until it ends with exit status 0; returns its report, if it writes one."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {deadline_s:g} s:\n{self.output}") from None
        assert status == 0, f"exit status {status}:\n{self.output}"
        return self.report if self.has_report else {}

    def stop(self, number: int = signal.SIGTERM) -> dict:
        """Asks it to stop gracefully; returns its report."""
        self.process.send_signal(number)
        return self.wait()

    @property
    def catches_sigterm(self) -> bool:
        """Whether it would stop gracefully; as Linux says."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        caught = next(line.split()[1] for line in status if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def kill(self) -> None:
        """SIGKILL, from outside, wherever it is."""
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        """SIGSTOP: it does nothing, and keeps its connections."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause`."""
        self.process.send_signal(signal.SIGCONT)

    @property
    def has_report(self) -> bool:
        return self._report.exists()

    @property
    def report(self) -> dict:
        return json.loads(self._report.read_text())

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *_error) -> None:
        if self.process.poll() is None:
            self.kill()
