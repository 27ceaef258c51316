"""Reads ranges of Kafka partitions beside every group: nothing is joined, nothing committed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing

from transforms.control import Clock
from transforms.errors import OffsetGapError, SourceError, UnavailableError
from transforms.kafka.client import ConsumerConfig, KafkaConfig, Partition
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_consumer
from transforms.kafka.remaining import Remaining
from transforms.ranges import Ranges
from transforms.records import KafkaRecord

PATIENCE_S = 60.0
"""A service that does not answer for so long ends the audit."""

_POLL_S = 0.5
_POLL_RECORDS = 500
_FETCH_BYTES = 20_000_000


def read(
    cluster: KafkaConfig, ranges: Mapping[Partition, Ranges], clock: Clock = time.monotonic
) -> Iterator[list[KafkaRecord]]:
    """What each poll brought of these offsets, in order by partition; empty while waiting.

    Raises:
      SourceError: the cluster does not answer for a minute, or an offset is gone.
    """
    left = Remaining(ranges)
    if not left.partitions:
        return
    config = ConsumerConfig(f"bridge-audit-{uuid.uuid4().hex}", fetch_bytes=_FETCH_BYTES)
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
                    "gone while it was read (retention); run the audit again"
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
