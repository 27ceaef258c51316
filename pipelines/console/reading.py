"""The messages that are asked for, in the order in which they are shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice

from pipelines import output
from pipelines.console.options import Options
from pipelines.console.preflight import Facts
from pipelines.preflight import sample_kafka
from transforms.control import Clock
from transforms.kafka import groupless
from transforms.kafka.client import Partition
from transforms.pubsub import temporary
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

READER = "bridge-console-"
"""What the names of temporary subscriptions begin with."""

_SORTED_BYTES = 64_000_000
"""So much is put in order at once."""

_IN_ONE_PULL = 20
"""As many as are shown within the lease of a temporary subscription."""

Stopping = Callable[[], bool]


def waits(options: Options) -> bool:
    """Whether what is asked for may still have to come."""
    at_the_end = options.start is not None and options.start.kind == "latest"
    return not options.kafka_topics or options.follow or at_the_end


def kafka(
    options: Options, facts: Facts, stopping: Stopping, clock: Clock
) -> Generator[KafkaRecord]:
    """Records of Kafka topics.

    Raises:
      SourceError: they cannot be read.
    """
    if not facts.offsets and not options.follow and options.start is None:
        return
    if not facts.begin and not options.follow:
        if not facts.offsets:
            return
        parts, count = list(facts.held), min(options.limit or 0, facts.offsets)
        newest = sample_kafka.newest(options.kafka, parts, count, output.say)
        with closing(newest):
            yield from by_time(newest)
        return
    if waits(options):
        batches = groupless.follow(options.kafka, options.selection.now, facts.begin)
        batches = _until_idle(batches, math.inf if options.follow else options.idle_seconds, clock)
    else:
        ends = {part: end for part, (_, end) in facts.held.items()}
        spans = {part: (at, ends[part] - 1) for part, at in facts.begin.items() if at < ends[part]}
        ranges = {part: Ranges((span,)) for part, span in spans.items()}
        batches = groupless.read(options.kafka, ranges)
    with closing(batches):
        yield from islice(chain.from_iterable(_until(stopping, batches)), options.limit)


def pubsub(
    options: Options, subscription: str, stopping: Stopping, take: bool
) -> Generator[PubsubRecord]:
    """Messages of a subscription; each pull is acknowledged when all of it is shown.

    Args:
      take: others read it, too.
    Raises:
      SourceError: it cannot be read.
    """
    how = temporary.Reading(
        only_past=False,
        at_most=math.inf if options.limit is None else options.limit,
        in_one_pull=_IN_ONE_PULL,
        shared=take,
    )
    idle_s = math.inf if options.follow else options.idle_seconds
    pulls = temporary.read(subscription, idle_s, stopping, service=options.pubsub, how=how)
    with closing(pulls):
        yield from chain.from_iterable(pulls)


def by_time(records: Iterable[KafkaRecord]) -> Iterator[KafkaRecord]:
    """Records by their timestamps, those of a partition by their offsets, as far as 64 MB go."""
    held: list[tuple[int, KafkaRecord]] = []
    size = 0
    latest: dict[Partition, int] = {}
    for record in records:
        where = record.topic, record.partition or 0
        latest[where] = max(latest.get(where, 0), record.timestamp_ms or 0)
        held.append((latest[where], record))
        size += record.payload_bytes
        if size > _SORTED_BYTES:
            yield from _sorted(held)
            held, size = [], 0
    yield from _sorted(held)


def _sorted(held: list[tuple[int, KafkaRecord]]) -> Iterator[KafkaRecord]:
    held.sort(key=_time)
    return (record for _, record in held)


def _time(item: tuple[int, KafkaRecord]) -> int:
    return item[0]


def _until(stopping: Stopping, batches: Iterable[list[KafkaRecord]]) -> Iterator[list[KafkaRecord]]:
    for batch in batches:
        yield batch
        if stopping():
            return


def _until_idle(
    batches: Generator[list[KafkaRecord]], idle_s: float, clock: Clock
) -> Generator[list[KafkaRecord]]:
    heard = clock()
    with closing(batches):
        for batch in batches:
            yield batch
            if batch:
                heard = clock()
            elif clock() - heard >= idle_s:
                return
