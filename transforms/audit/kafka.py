"""Reads ranges of Kafka partitions beside every group: nothing is joined, nothing committed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from transforms.control import Clock
from transforms.errors import OffsetGapError, SourceError, UnavailableError
from transforms.kafka.client import Consumer, ConsumerConfig, KafkaConfig, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_consumer
from transforms.ranges import Ranges, Span
from transforms.records import KafkaRecord

PATIENCE_S = 60.0
"""A service that does not answer for so long ends the audit."""

_POLL_S = 0.5
_POLL_RECORDS = 500
_FETCH_BYTES = 20_000_000
_READ_THROUGH = 10_000
"""Offsets between two ranges that are read and dropped, since a seek costs more."""


def read(
    cluster: KafkaConfig, ranges: Mapping[Partition, Ranges], clock: Clock = time.monotonic
) -> Iterator[list[KafkaRecord]]:
    """What each poll brought of these offsets, in order by partition; empty while waiting.

    Raises:
      SourceError: the cluster does not answer for a minute, or an offset is gone.
    """
    left = {part: list(reversed(found.spans)) for part, found in ranges.items() if found.spans}
    if not left:
        return
    config = ConsumerConfig(f"bridge-audit-{uuid.uuid4().hex}", fetch_bytes=_FETCH_BYTES)
    with closing(open_consumer(cluster, config)) as consumer:
        consumer.assign({part: spans[-1][0] for part, spans in left.items()})
        heard = clock()
        at: Mapping[Partition, int] = {}
        cause: UnavailableError | None = None
        while left:
            try:
                polled = consumer.poll(_POLL_S, _POLL_RECORDS)
            except UnavailableError as error:
                polled, cause = [], error
            except OffsetGapError as error:
                raise SourceError(
                    f"read {error.topic}/{error.partition}: offsets from {error.first} on have "
                    "gone while it was read (retention); run the audit again"
                ) from error
            reached = consumer.positions()
            if reached != at:
                heard, at, cause = clock(), reached, None
            elif clock() - heard > PATIENCE_S:
                raise SourceError(
                    f"read {part_names(left)}: nothing comes for {PATIENCE_S:g} s, and the end is "
                    "not reached; check the brokers and the network"
                ) from cause
            yield [record for record in polled if _wanted(record, left)]
            _move_on(consumer, left, reached)


def _wanted(record: Any, left: Mapping[Partition, list[Span]]) -> bool:
    """Spans are passed only after a poll, which may bring records of several."""
    for first, last in reversed(left.get((record.topic, record.partition), ())):
        if record.offset <= last:
            return bool(record.offset >= first)
    return False


def _move_on(
    consumer: Consumer, left: dict[Partition, list[Span]], reached: Mapping[Partition, int]
) -> None:
    """Drops the ranges that are read, and passes over what is far between two."""
    begin: dict[Partition, int] = {}
    done = False
    for part, spans in list(left.items()):
        at = reached.get(part, -1)
        while spans and at > spans[-1][1]:
            spans.pop()
        if not spans:
            del left[part]
            done = True
        elif spans[-1][0] > at + _READ_THROUGH and at >= 0:
            begin[part] = spans[-1][0]
    if done and left:
        consumer.assign({part: reached[part] for part in left})
    if begin:
        consumer.seek(begin)
