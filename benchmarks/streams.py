"""A stream of its own for each measurement: topics that nobody used before, a system that moves
what is in them, and the two ends."""

from __future__ import annotations

import contextlib
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.ends import Inlet, KafkaInlet, KafkaOutlet, Outlet, PubsubInlet, PubsubOutlet
from benchmarks.stack import PARTITIONS, PROJECT, TIMEOUT_S, Kafka, pointed_at
from benchmarks.systems.jobs import Direction, Job, System
from benchmarks.worker import Worker
from transforms.errors import TransferError
from transforms.kafka.client import KafkaConfig
from transforms.kafka.clients import open_admin
from transforms.pubsub import client as pubsub

DIRECTIONS: tuple[Direction, ...] = ("kafka_to_ps", "ps_to_kafka")

_LOOK_S = 0.01


@contextlib.contextmanager
def new(
    direction: Direction,
    kafka: Kafka,
    pubsub_host: str,
    folder: Path,
    topics: int = 1,
    partitions: int = PARTITIONS,
    **how: Any,
) -> Iterator[Job]:
    """Makes a stream, and says what is to be done with it; its Kafka topics last as long as the
    `with`, and clients of Pub/Sub that are opened meanwhile go to its service.

    Args:
      topics: of Kafka. Where there are several, the job's `kafka_topic` is a `^regex`.
      how: further fields of the job.
    """
    name = f"{direction.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    job = Job(
        direction=direction,
        bootstrap_servers=kafka.bootstrap_servers,
        pubsub=pubsub_host,
        kafka_topic=name if topics == 1 else f"^{name}-",
        pubsub_topic=f"{PROJECT}/topics/{name}",
        subscription=f"{PROJECT}/subscriptions/{name}",
        group_id=name,
        folder=folder,
        **how,
    )
    with pointed_at(pubsub_host):
        with contextlib.closing(pubsub.open_admin(TIMEOUT_S)) as admin:
            admin.create_topic(job.pubsub_topic)
            admin.create_subscription(job.subscription, job.pubsub_topic)
        with contextlib.ExitStack() as made:
            for topic in [name] if topics == 1 else [f"{name}-{n}" for n in range(topics)]:
                kafka.create(topic, partitions)
                made.callback(kafka.delete, topic)
            _wait_for_partitions(job, topics * partitions)
            yield job


def _wait_for_partitions(job: Job, count: int) -> None:
    """Brokers know of new topics a moment after they have been made."""
    config = KafkaConfig(job.bootstrap_servers)
    with contextlib.closing(open_admin(config, TIMEOUT_S)) as admin:
        there = partial(admin.partitions, [job.kafka_topic])
        wait("make topics", lambda: len(there()) == count, TIMEOUT_S, job)


def inlet(job: Job) -> Callable[[], Inlet]:
    """Opens where a system takes messages from."""
    if job.direction == "ps_to_kafka":
        return partial(PubsubInlet, job.pubsub_topic)
    return partial(KafkaInlet, KafkaConfig(job.bootstrap_servers), [job.kafka_topic])


def outlet(job: Job) -> Callable[[], Outlet]:
    """Opens where a system brings messages to."""
    if job.direction == "kafka_to_ps":
        return partial(PubsubOutlet, job.subscription)
    return partial(KafkaOutlet, KafkaConfig(job.bootstrap_servers), job.kafka_topic)


@contextlib.contextmanager
def running(system: System, job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """A system at work, until the `with` ends."""
    process = system.start(job)
    try:
        yield process
    finally:
        processes.stop(process)


def wait(
    what: str,
    done: Callable[[], bool],
    timeout_s: float,
    job: Job,
    running: Sequence[subprocess.Popen[bytes]] = (),
    workers: Sequence[Worker] = (),
) -> None:
    """Returns when something is done.

    Args:
      running: must not end meanwhile.
      workers: must not fail meanwhile.
    Raises:
      TransferError: it is not done in time, or a process has ended.
      Exception: of a worker.
    """
    ends_s = time.monotonic() + timeout_s
    while not done():
        for worker in workers:
            worker.check()
        for process in running:
            if process.poll() is not None:
                said = f"status {process.returncode}: {processes.tail(job.folder)}"
                raise TransferError(f"{what}: the system has ended with {said}")
        if time.monotonic() > ends_s:
            raise TransferError(f"{what}: not within {timeout_s:g} s: {processes.tail(job.folder)}")
        time.sleep(_LOOK_S)
