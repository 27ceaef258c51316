"""The newest records of Kafka topics, read beside every group: no member joins, nothing commits."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing

from pipelines import reaching
from transforms.kafka.client import Consumer, ConsumerConfig, KafkaConfig, Offsets, Partition
from transforms.kafka.clients import open_consumer
from transforms.records import KafkaRecord

TIME_LIMIT_S = 60.0
"""Longest that a sample takes."""

QUIET_S = 10.0
"""What has not come after so long without any record does not come."""

_POLL_S = 0.5
_POLL_RECORDS = 500
_FETCH_BYTES = 4_000_000
_MOST_AHEAD = 64


def spread(count: int, available: Mapping[Partition, int]) -> dict[Partition, int]:
    """So many of all partitions: as many from each, and more from those that have more."""
    shares = {}
    left = count
    ascending = sorted(available, key=available.__getitem__)
    for number, partition in enumerate(ascending):
        share = min(available[partition], left // (len(ascending) - number))
        shares[partition] = share
        left -= share
    return shares


def newest(
    cluster: KafkaConfig,
    partitions: Collection[Partition],
    count: int,
    note: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Generator[KafkaRecord]:
    """Up to `count` of the newest records, in order per partition.

    Offsets without a record (transaction markers, compacted ones) count while a range is read; what
    is missing then is looked for further back.

    Args:
      note: told in one line why there are fewer than `count`.
    Raises:
      PreflightError, SourceError: the topics cannot be read.
    """
    with closing(reaching.open_kafka(cluster)) as admin:
        first = admin.beginning_offsets(partitions)
        begins = admin.end_offsets(partitions)
    config = ConsumerConfig(group_id="", fetch_bytes=_FETCH_BYTES)
    with closing(open_consumer(cluster, config)) as consumer:
        reading = _Reading(consumer, clock)
        left, ahead = count, 1
        while left and not reading.obstacle:
            room = {p: begins[p] - first[p] for p in begins if begins[p] > first[p]}
            if not room:
                break
            ends = dict(begins)
            for partition, share in spread(left * ahead, room).items():
                begins[partition] -= share
            for record in reading.read({p: (begins[p], ends[p]) for p in room}):
                yield record
                left -= 1
                if not left:
                    break
            ahead = min(2 * ahead, _MOST_AHEAD)
    if left:
        why = reading.obstacle or "the topics hold no more"
        note(f"{count - left:,} of {count:,} records: {why}")


class _Reading:
    """Reads ranges of offsets with one assigned consumer.

    Attributes:
      obstacle: why the last range was not read to its end; empty if it was.
    """

    def __init__(self, consumer: Consumer, clock: Callable[[], float]) -> None:
        self._consumer = consumer
        self._clock = clock
        self._ends_s = clock() + TIME_LIMIT_S
        self.obstacle = ""

    def read(self, ranges: Mapping[Partition, tuple[int, int]]) -> Iterator[KafkaRecord]:
        """The records of each range, from its first offset to the one before its second."""
        positions: Offsets = {p: begin for p, (begin, end) in ranges.items() if begin < end}
        self._consumer.assign({})
        heard_s = self._clock()
        while positions:
            # Those that are through go, so that nothing more of them is fetched.
            self._consumer.assign(positions)
            for record in self._consumer.poll(_POLL_S, _POLL_RECORDS):
                assert record.partition is not None
                assert record.offset is not None
                if record.offset < ranges[record.topic, record.partition][1]:
                    yield record
            reached = self._consumer.positions()
            now_s = self._clock()
            if any(reached.get(p, at) != at for p, at in positions.items()):
                heard_s = now_s
            elif now_s - heard_s > QUIET_S:
                self.obstacle = f"nothing more came for {QUIET_S:g} s"
            positions = {p: reached.get(p, at) for p, at in positions.items()}
            positions = {p: at for p, at in positions.items() if at < ranges[p][1]}
            if now_s > self._ends_s:
                self.obstacle = f"{TIME_LIMIT_S:g} s are over"
            if self.obstacle:
                return
