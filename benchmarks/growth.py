"""Growth: does the rate hold with a larger backlog, more partitions, processes, topics?

    python -m benchmarks.growth [--quick] [--runs N] [--only PATTERN]

* `growth/DIRECTION/backlog/N`: N messages wait, and are moved, from the last look at which none had
  come: there is no warm-up in which a small backlog would be gone. Of the largest one
  `end / begin` compares the rate when little is left with that when nearly all is: in one run, the
  medians of four tenths each, without the first and the last.
* `growth/DIRECTION/partitions/N`: of the Kafka topic.
* `growth/kafka_to_ps/processes/N`: N processes share a group; measured from when all have joined.
* `growth/kafka_to_ps/topics/100`: a steady feed of a message a second into each, read by one
  process by a `^regex`: what is lost, latency, and the share of a core that the process takes.

Messages of 1 kB; Pub/Sub is `benchmarks.instant`, that of the topics `benchmarks.relay`.
"""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import latency, relay, sampling, turns
from benchmarks.instant import InstantProcess
from benchmarks.processes import stop, tail
from benchmarks.sampling import Sample, Window
from benchmarks.stack import PARTITIONS, PROJECT, Kafka
from benchmarks.streams import DIRECTIONS
from benchmarks.systems.bridge import Bridge
from benchmarks.systems.jobs import Direction, Job, System
from benchmarks.turns import Case
from pipelines.local.stack import EmbeddedStack
from transforms.errors import TransferError
from transforms.kafka.client import KafkaConfig
from transforms.kafka.clients import open_admin

BACKLOGS = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
COUNTS_OF_PARTITIONS = (1, 4, 45)
COUNTS_OF_PROCESSES = (1, 2, 4)
TOPICS = 100

MESSAGES = 300_000
"""Of the rows where the backlog is not what varies."""

SIZE_BYTES = 1_000
WARM_UP = 0.1
TENTHS = range(1, 5), range(5, 9)
"""Of a backlog, at its begin and at its end: what is compared."""

MOVED = 0.2
"""Of a backlog, what several processes have to move together for a figure."""

QUICK = 20
"""A quick run has so many times fewer messages."""

_DEADLINE_S = 300.0
_CALL_S = 10.0
_SETTLE_S = 1.0
"""After the last one has joined, what the others had read ahead has come."""

_TOPIC, _SUBSCRIPTION = f"{PROJECT}/topics/growth", f"{PROJECT}/subscriptions/growth"


class Backlogs:
    """Kafka topics with messages in them, kept while the next row needs the same.

    Args:
      divisor: so many times fewer messages than the rows' names say.
    """

    def __init__(self, kafka: Kafka, divisor: int = 1) -> None:
        self.kafka = kafka
        self.divisor = divisor
        self._topic = ""
        self._content: tuple[int, int] = (0, 0)

    def topic(self, count: int, partitions: int) -> str:
        """One with `count` messages, evenly over its partitions."""
        if self._content != (count, partitions):
            if self._topic:
                self.kafka.delete(self._topic)
            self._topic, self._content = f"growth-{uuid.uuid4().hex[:8]}", (count, partitions)
            self.kafka.create(self._topic, partitions)
            self.kafka.fill(self._topic, count, SIZE_BYTES)
        return self._topic


def cases(
    kafka: Kafka,
    relayed: str,
    systems: Sequence[System],
    divisor: int = 1,
    fed: latency.Fed = latency.LONG,
) -> list[Case]:
    """All that is measured.

    Args:
      relayed: `HOST:PORT` of the relay.
      divisor: so many times fewer messages than the rows' names say.
      fed: how long the topics are.
    """
    backlogs = Backlogs(kafka, divisor)
    found = []
    for system in systems:
        for direction in DIRECTIONS:
            move = partial(measure, system, direction, backlogs)
            for what, count in BACKLOGS.items():
                run = partial(move, count, PARTITIONS)
                found.append(Case(f"growth/{direction}/backlog/{what}", system.name, run))
            for partitions in COUNTS_OF_PARTITIONS:
                run = partial(move, MESSAGES, partitions)
                found.append(Case(f"growth/{direction}/partitions/{partitions}", system.name, run))
        for number in COUNTS_OF_PROCESSES:
            run = partial(share, system, backlogs, number)
            found.append(Case(f"growth/kafka_to_ps/processes/{number}", system.name, run))
        run = partial(_topics, system, kafka, relayed, fed)
        found.append(Case(f"growth/kafka_to_ps/topics/{TOPICS}", system.name, run))
    return found


def _topics(
    system: System, kafka: Kafka, relayed: str, fed: latency.Fed, folder: Path
) -> dict[str, float]:
    many = {"topics": TOPICS, "partitions": 1}
    return latency.measure(
        system, "kafka_to_ps", kafka, relayed, TOPICS, "librdkafka", fed, folder, **many
    )


def measure(
    system: System,
    direction: Direction,
    backlogs: Backlogs,
    count: int,
    partitions: int,
    folder: Path,
) -> dict[str, float]:
    """A backlog is moved by one process.

    Raises:
      TransferError: not all has come in time, or the system has ended.
    """
    count = max(count // backlogs.divisor, min(BACKLOGS.values()))
    if direction == "kafka_to_ps":
        topic = backlogs.topic(count, partitions)
        with InstantProcess() as instant:
            job = _job(direction, backlogs.kafka, instant.address, topic, folder)
            seen = _watch([system], job, lambda: instant.status()["published"], count)
    else:
        topic = f"growth-{uuid.uuid4().hex[:8]}"
        backlogs.kafka.create(topic, partitions)
        with InstantProcess(SIZE_BYTES, count) as instant:
            job = _job(direction, backlogs.kafka, instant.address, topic, folder)
            seen = _watch([system], job, backlogs.kafka.ends(topic), count)
        backlogs.kafka.delete(topic)
    found = _figures(between(seen.samples, 1, count))
    if count == max(BACKLOGS.values()):
        found |= compared(seen.samples, count)
    return found | {"peak RSS MB": seen.peak_bytes / 1e6}


def share(system: System, backlogs: Backlogs, number: int, folder: Path) -> dict[str, float]:
    """A backlog is moved by several processes together; errors are those of `measure`."""
    count = max(BACKLOGS.values()) // min(backlogs.divisor, 2)  # fewer are gone before all join
    topic = backlogs.topic(count, PARTITIONS)
    config = KafkaConfig(backlogs.kafka.bootstrap_servers)
    with InstantProcess() as instant, contextlib.closing(open_admin(config, _CALL_S)) as admin:
        job = _job("kafka_to_ps", backlogs.kafka, instant.address, topic, folder)
        joined_s = 0.0

        def progress() -> int:
            nonlocal joined_s
            if not joined_s and len(admin.group_members(job.group_id)) == number:
                joined_s = time.monotonic()
            return instant.status()["published"]

        began_s = time.monotonic()
        seen = _watch([system] * number, job, progress, count)
    settled_s = joined_s - began_s + _SETTLE_S
    rest = [s for s in seen.samples if s.at_s >= settled_s and s.done < count * (1 - WARM_UP)]
    if not joined_s or len(rest) < 2 or rest[-1].done - rest[0].done < count * MOVED:
        raise TransferError(f"share: {number} processes have hardly moved anything together")
    return _figures(Window(rest[0], rest[-1])) | {"peak RSS MB": seen.peak_bytes / 1e6}


def compared(samples: Sequence[Sample], count: int) -> dict[str, float]:
    """The rate while nearly all of a backlog is left, and while little is.

    Raises:
      TransferError: it was not looked at often enough.
    """
    begin, end = (_of_tenths(samples, count, tenths) for tenths in TENTHS)
    return {
        "begin msg/s": begin["msg/s"],
        "end msg/s": end["msg/s"],
        "end / begin": end["msg/s"] / begin["msg/s"],
        "CPU end / begin": end["CPU us/msg"] / (begin["CPU us/msg"] or 1),
    }


def _of_tenths(samples: Sequence[Sample], count: int, tenths: range) -> dict[str, float]:
    """Medians: a moment in which the machine was busy elsewhere is no part of them."""
    step = count / 10
    found = [_figures(between(samples, n * step, (n + 1) * step)) for n in tenths]
    return {unit: statistics.median(each[unit] for each in found) for unit in found[0]}


def between(samples: Sequence[Sample], first: float, last: float) -> Window:
    """From the last look that found fewer messages done to the first that found so many.

    Raises:
      TransferError: there is no look between.
    """
    end = next(number for number, sample in enumerate(samples) if sample.done >= last)
    begin = max(number for number in range(end) if samples[number].done < first)
    if end - begin < 2:
        raise TransferError("measure: not looked at often enough; use more messages")
    return Window(samples[begin], samples[end])


def _figures(window: Window) -> dict[str, float]:
    found = sampling.figures(window, SIZE_BYTES, 0)
    return {unit: found[unit] for unit in ("msg/s", "CPU us/msg")}


def _job(direction: Direction, kafka: Kafka, pubsub: str, topic: str, folder: Path) -> Job:
    group_id = f"growth-{uuid.uuid4().hex[:8]}"
    ends = (pubsub, topic, _TOPIC, _SUBSCRIPTION, group_id)
    return Job(direction, kafka.bootstrap_servers, *ends, folder)


def _watch(
    systems: Sequence[System], job: Job, progress: Callable[[], int], count: int
) -> sampling.Watched:
    """Looks at processes that share a job until all messages have come."""
    running = [system.start(job) for system in systems]
    try:
        return sampling.watch(running, progress, count, _DEADLINE_S)
    except TransferError as error:
        raise TransferError(f"{error}: {tail(job.folder)}") from error
    finally:
        for process in running:
            stop(process)


def main() -> None:
    """Measures the bridge."""
    options = turns.options(__doc__)
    divisor, fed = (QUICK, latency.QUICK) if options.quick else (1, latency.LONG)
    with EmbeddedStack(pubsub=False) as stack, relay.process() as relayed:
        kafka = Kafka(stack.bootstrap_servers)
        turns.show(cases(kafka, relayed, [Bridge()], divisor, fed), options)


if __name__ == "__main__":
    main()
