"""Reads Kafka partitions beside every group: nothing is joined, nothing committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing

from transforms.control import Clock
from transforms.deadlines import PATIENCE_S
from transforms.errors import OffsetGapError, SourceError, UnavailableError
from transforms.kafka.client import ConsumerConfig, KafkaConfig, Offsets, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_consumer
from transforms.kafka.remaining import Remaining
from transforms.ranges import Ranges
from transforms.records import KafkaRecord

_log = logging.getLogger(__name__)

_LOOK_S = 10.0
"""How often new partitions are looked for, and whether the brokers are there."""

_POLL_S = 0.5
_POLL_RECORDS = 500
_FETCH_BYTES = 20_000_000


def read(
    cluster: KafkaConfig,
    ranges: Mapping[Partition, Ranges],
    clock: Clock = time.monotonic,
) -> Generator[list[KafkaRecord]]:
    """What each poll brought of these offsets, in order by partition; empty while waiting.

    Raises:
      SourceError: the cluster does not answer for a minute, or an offset is gone.
    """
    left = Remaining(ranges)
    if not left.partitions:
        return
    config = ConsumerConfig(group_id="", fetch_bytes=_FETCH_BYTES)
    with closing(open_consumer(cluster, config)) as consumer:
        consumer.assign({part: left.begin(part) for part in left.partitions})
        heard = clock()
        at: Mapping[Partition, int] = {}
        cause: UnavailableError | None = None
        while left.partitions:
            try:
                polled = consumer.poll(_POLL_S, _POLL_RECORDS)
            except UnavailableError as error:
                polled, cause = [], error
            except OffsetGapError as error:
                raise SourceError(
                    f"read {error.topic}/{error.partition}: offsets from {error.first} on have "
                    "gone while it was read (retention); run it again"
                ) from error
            reached = consumer.positions()
            if reached != at:
                heard, at, cause = clock(), reached, None
            elif clock() - heard > PATIENCE_S:
                raise SourceError(
                    f"read {part_names(left.partitions)}: nothing comes for {PATIENCE_S:g} s, "
                    "and the end is not reached; check the brokers and the network"
                ) from cause
            yield [r for r in polled if left.wants((r.topic, r.partition), r.offset)]  # type: ignore[arg-type]
            done, seek = left.advance(reached)
            if done and left.partitions:
                consumer.assign({part: reached[part] for part in left.partitions})
            if seek:
                consumer.seek(seek)


def follow(
    cluster: KafkaConfig,
    topics: Callable[[], Sequence[str]],
    begin: Offsets,
    clock: Clock = time.monotonic,
) -> Generator[list[KafkaRecord]]:
    """What each poll brought of topics, for as long as it is asked for; empty while nothing comes.
    Partitions that are new are read from their first offset.

    Args:
      topics: which they are now: names, or one ^regex.
      begin: where each partition of now begins.
    Raises:
      SourceError: the cluster does not answer for a minute.
    """
    config = ConsumerConfig(group_id="", fetch_bytes=_FETCH_BYTES)
    with closing(open_consumer(cluster, config)) as consumer:
        positions = dict(begin)
        consumer.assign(positions)
        looked = heard = clock()
        while True:
            try:
                polled = consumer.poll(_POLL_S, _POLL_RECORDS)
                if clock() - looked >= _LOOK_S:
                    looked = clock()
                    if new := set(consumer.partitions(topics())) - set(positions):
                        positions |= dict.fromkeys(new, 0)
                        consumer.assign(positions)
                    heard = clock()
            except OffsetGapError as error:
                _log.warning("%s; going on at %s", error.what, f"{error.resume:,}")
                consumer.seek({(error.topic, error.partition): error.resume})
                polled = []
            except UnavailableError as error:
                if clock() - heard > PATIENCE_S:
                    raise SourceError(str(error)) from error
                polled = []
            if polled:
                heard = clock()
            yield polled
