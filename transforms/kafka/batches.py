"""What one poll has found: whose records they are, and which of them are to be handed on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transforms.kafka.client import Partition
from transforms.kafka.frontier import Frontier
from transforms.records import KafkaRecord


@dataclass(slots=True)
class Found:
    """What a poll has found of one partition; `seen`: where this process has been before."""

    first: int
    seen: int
    next_offset: int = 0
    records: int = 0
    again: int = 0


class KafkaBatch(NamedTuple):
    """The records of one poll, in order per partition. Implements `reading.Batch`."""

    records: list[KafkaRecord]
    spans: dict[Partition, Found]
    payload_bytes: int
    topic_ids: Mapping[str, str]

    @property
    def positions(self) -> Frontier:
        """The next offset of each partition in the batch."""
        offsets = {partition: found.next_offset for partition, found in self.spans.items()}
        return Frontier(offsets, self.topic_ids)


def batch_of(
    records: Sequence[Any],
    expected: dict[Partition, int],
    seen: Mapping[Partition, int],
    topic_ids: Mapping[str, str],
    wants: Callable[[Partition, int], bool] | None = None,
) -> KafkaBatch:
    """Leaves out records of partitions that are not owned, repeats, and what is not wanted.

    Records of one partition mostly follow each other: what is known of it is looked up once.

    Args:
      expected: the next offset of each partition that is owned; moved on.
      seen: where this process has been.
      wants: whether a record belongs to what a finite run reads.
    """
    kept: list[KafkaRecord] = []
    spans: dict[Partition, Found] = {}
    payload_bytes = 0
    part: Partition | None = None
    found: Found | None = None
    at, before = -1, 0
    for record in records:
        if record[:2] != part:
            if part is not None and at >= 0:
                expected[part] = at
            part = record[:2]
            at, before, found = expected.get(part, -1), seen.get(part, 0), spans.get(part)
        offset = record[2]
        if offset < at or at < 0:
            continue
        at = offset + 1
        if wants is not None and not wants(part, offset):  # type: ignore[arg-type]
            continue
        if found is None:
            found = spans[part] = Found(offset, before)  # type: ignore[index]
        found.next_offset = at
        found.records += 1
        if offset < before:
            found.again += 1
        payload_bytes += len(record[5] or b"") + len(record[6] or b"")
        for name, value in record[7]:
            payload_bytes += len(name) + len(value or b"")
        kept.append(record)
    if part is not None and at >= 0:
        expected[part] = at
    return KafkaBatch(kept, spans, payload_bytes, topic_ids)
