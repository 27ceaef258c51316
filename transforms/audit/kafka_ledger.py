"""The ledger of a Kafka source: each record against what has its place, or its content."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from transforms import lossless, origins
from transforms.attributes import OFFSET, PARTITION, TIMESTAMP, TOPIC
from transforms.audit.keys import Keys
from transforms.audit.offsets import Offsets
from transforms.audit.rows import (
    BY_CONTENT,
    DEAD,
    DELIVERED,
    RETURNED,
    TWICE,
    Missing,
    Others,
    Row,
    Rule,
    counts,
)
from transforms.identity import key_of_id, key_of_message, key_of_record, number
from transforms.kafka.client import Partition
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

_RANK_BITS = 40


@dataclass(frozen=True)
class Asked:
    """What is audited of a partition.

    Attributes:
      read: the offsets that may hold records.
      expired: how many before the log's first one were asked for.
      not_due: how many the group has not committed.
    """

    read: Ranges
    expired: int = 0
    not_due: int = 0


class KafkaLedger:
    """The source's records by partition and offset.

    Args:
      asked: the partitions that are audited; records of others are none of ours.
    """

    def __init__(self, asked: Mapping[Partition, Asked], rule: Rule) -> None:
        self._asked = dict(sorted(asked.items()))
        self._rule = rule
        self._parts = {part: Offsets() for part in self._asked}
        self._by_text = {(topic, str(n)): at for (topic, n), at in self._parts.items()}
        self._numbers = {part: n for n, part in enumerate(self._parts)}
        self._contents, self._ranks = Keys(), array("Q")
        self.others = Others()

    # -- the source, complete before anything else

    def expect(self, records: Iterable[KafkaRecord]) -> None:
        """Takes records of the source, in order by partition."""
        parts, rule = self._parts, self._rule
        for record in records:
            place: Any = (record.topic, record.partition)
            offset: Any = record.offset
            at = parts[place]
            state = 0
            if (
                rule.returns
                and record.headers
                and origins.names(origins.in_headers(record.headers), rule.returns)
            ):
                state = RETURNED
            elif rule.lossless and (key := self._content(record)) is not None:
                state = BY_CONTENT
                self._contents.add(key)
                self._ranks.append(self._numbers[place] << _RANK_BITS | len(at.states))
            at.add(offset, state, record.timestamp_ms)

    def _content(self, record: KafkaRecord) -> int | None:
        """The key of what the bridge makes of a record that loses its place; else None."""
        if self._rule.within_kafka:
            return key_of_record(record)
        packed = lossless.message_in(record)
        return None if packed is None else key_of_message(packed)

    def seal(self) -> None:
        """The source is complete."""
        self._contents.seal()

    # -- the other side

    def deliver(self, found: Iterable[KafkaRecord | PubsubRecord]) -> None:
        """Takes what the destination has: messages or records that say their place, or records of
        an archive, in their own."""
        by_text, contents = self._by_text, len(self._contents)
        for item in found:
            if isinstance(item, PubsubRecord):
                attributes = item.attributes
                at = by_text.get((attributes.get(TOPIC, ""), attributes.get(PARTITION, "")))
                delivery = key_of_id(item.message_id)
                offset = number(attributes.get(OFFSET, "")) if at is not None else -1
                timestamp = number(attributes.get(TIMESTAMP, ""))
            elif item.offset is not None and not self._rule.within_kafka:
                at, delivery, offset = self._parts.get(_part(item)), 0, item.offset
                timestamp = -1 if item.timestamp_ms is None else item.timestamp_ms
            else:
                headers = dict(item.headers)
                place = _text(headers.get(TOPIC)), _text(headers.get(PARTITION))
                at, delivery = by_text.get(place), 0
                offset = number(headers.get(OFFSET) or b"") if at is not None else -1
                timestamp = number(headers.get(TIMESTAMP) or b"")
            timestamp_ms = None if timestamp < 0 else timestamp
            if at is not None and at.deliver(offset, delivery, timestamp_ms):
                continue
            if contents:
                self._contents.deliver(_key(item), delivery)
            else:
                self.others.messages += 1

    def give_up(self, originals: Iterable[KafkaRecord | PubsubRecord]) -> None:
        """Takes what dead letters hold."""
        for original in originals:
            if not isinstance(original, KafkaRecord) or original.offset is None:
                continue
            at = self._parts.get(_part(original))
            rank = -1 if at is None else at.rank(original.offset, original.timestamp_ms)
            if at is not None and rank >= 0:
                at.states[rank] |= DEAD

    # -- the result

    def close(self) -> tuple[list[Row], Missing]:
        """What was found; nothing is added any more."""
        self._settle_contents()
        rows = []
        for part, at in self._parts.items():
            asked = self._asked[part]
            row = Row(f"{part[0]}/{part[1]}", expired=asked.expired, not_due=asked.not_due)
            row.count(counts(at.states))
            row.gaps = asked.read.count - len(at.states)
            rows.append(row)
        return rows, Missing({part: at.missing for part, at in self._parts.items()})

    def _settle_contents(self) -> None:
        parts = list(self._parts.values())
        ranks = np.frombuffer(self._ranks, np.uint64) if self._ranks else np.empty(0, np.uint64)
        for found in self._contents.found():
            tags = ranks[found.index].astype(np.int64)
            delivered = found.copy < found.times
            twice = found.copy + found.copies < found.times
            for part in np.unique(tags >> _RANK_BITS).tolist():
                states = np.frombuffer(parts[part].states, np.uint8)
                here = tags >> _RANK_BITS == part
                rank = tags & ((1 << _RANK_BITS) - 1)
                states[rank[here & delivered]] |= DELIVERED
                states[rank[here & twice]] |= TWICE
        self.others.messages += self._contents.others


def _part(record: KafkaRecord) -> Partition:
    return record.topic, -1 if record.partition is None else record.partition


def _key(found: KafkaRecord | PubsubRecord) -> int:
    return key_of_message(found) if isinstance(found, PubsubRecord) else key_of_record(found)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")
