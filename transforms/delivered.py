"""What a destination has of a source, as its messages themselves tell. No service.

A message is known by where it was in Kafka (topic, partition, offset), or by its id in Pub/Sub; and
by its time, which tells it from one that had the same place in a topic that was made anew, or in
another cluster.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from transforms.attributes import (
    MESSAGE,
    MESSAGE_ID,
    OFFSET,
    PARTITION,
    PUBLISH_TIME,
    RECORD,
    TIMESTAMP,
    TOPIC,
)
from transforms.audit.identity import key_of_id, number
from transforms.kafka.client import Partition
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

_MESSAGES: Partition = ("", -1)
"""In place of a partition, for messages of Pub/Sub."""


class Name(NamedTuple):
    """What a message is known by.

    Attributes:
      number: its offset, or 64 bits of its id.
      time_ms: -1 where it has none.
    """

    part: Partition
    number: int
    time_ms: int


class Delivered:
    """A set of messages, about 16 bytes each; asked with `in` for records and messages of a source.

    `len` counts each once.
    """

    def __init__(self, names: Iterable[Name]) -> None:
        found: dict[Partition, tuple[array[int], array[int]]] = {}
        for part, of, time_ms in names:
            numbers, times = found.setdefault(part, (array("Q"), array("q")))
            numbers.append(of)
            times.append(time_ms)
        self._found = {part: _sorted(*columns) for part, columns in found.items()}

    def __len__(self) -> int:
        return sum(len(numbers) for numbers, _ in self._found.values())

    def __contains__(self, element: KafkaRecord | PubsubRecord) -> bool:
        part, wanted, time_ms = _name_of(element)
        if part not in self._found:
            return False
        numbers, times = self._found[part]
        at = bisect_left(numbers, wanted)
        while at < len(numbers) and numbers[at] == wanted:
            if times[at] == time_ms:
                return True
            at += 1
        return False


def _sorted(numbers: array[int], times: array[int]) -> tuple[array[int], array[int]]:
    """By number, then time, each pair once."""
    by_number, by_time = np.frombuffer(numbers, np.uint64), np.frombuffer(times, np.int64)
    order = np.lexsort((by_time, by_number))
    by_number, by_time = by_number[order], by_time[order]
    new = np.ones(len(order), bool)
    new[1:] = (by_number[1:] != by_number[:-1]) | (by_time[1:] != by_time[:-1])
    return array("Q", by_number[new].tobytes()), array("q", by_time[new].tobytes())


def _name_of(element: KafkaRecord | PubsubRecord) -> Name:
    if isinstance(element, KafkaRecord):
        part = element.topic, -1 if element.partition is None else element.partition
        return Name(part, element.offset or 0, _or_none(element.timestamp_ms))
    return Name(_MESSAGES, key_of_id(element.message_id), _or_none(element.publish_time_ms))


def _or_none(time_ms: int | None) -> int:
    return -1 if time_ms is None else time_ms


def names(
    found: Iterable[KafkaRecord | PubsubRecord],
    of_kafka: bool,
    lossless: bool,
    wanted: Mapping[Partition, Ranges] | None = None,
) -> Iterator[Name]:
    """What the messages of a destination say of where they are from; of those that do not, nothing.

    Args:
      of_kafka: records of Kafka were read, not messages of Pub/Sub.
      lossless: they were mapped with LOSSLESS. What was itself a packed message or record has been
        restored as that then, and says where that was from.
      wanted: if not None, only these offsets.
    """
    name_in = _place_in if of_kafka else _id_in
    for item in found:
        if isinstance(item, PubsubRecord):
            if lossless and RECORD not in item.attributes:
                continue
            texts: Mapping[str, str] = item.attributes
        else:
            if lossless and (not item.headers or item.headers[-1][0] != MESSAGE):
                continue
            texts = {n: (v or b"").decode("utf-8", "replace") for n, v in item.headers}
        name = name_in(texts)
        if name is None:
            continue
        if wanted is None or (name.part in wanted and name.number in wanted[name.part]):
            yield name


def _place_in(texts: Mapping[str, str]) -> Name | None:
    partition, offset = number(texts.get(PARTITION, "")), number(texts.get(OFFSET, ""))
    if partition < 0 or offset < 0 or TOPIC not in texts:
        return None
    return Name((texts[TOPIC], partition), offset, number(texts.get(TIMESTAMP, "")))


def _id_in(texts: Mapping[str, str]) -> Name | None:
    if not texts.get(MESSAGE_ID):
        return None
    time_ms = number(texts.get(PUBLISH_TIME, ""))
    return Name(_MESSAGES, key_of_id(texts[MESSAGE_ID]), time_ms)
