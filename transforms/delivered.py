"""What a destination has of a source, as its messages themselves tell. No service.

A message is known by where it was in Kafka (topic, partition, offset), or by its id in Pub/Sub; and
by its time and payload, which tell it from one that had the same place in a topic that was made
anew, or in another cluster.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

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
from transforms.identity import key_of_id, number
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
      payload: its hash, the same in one process only.
    """

    part: Partition
    number: int
    time_ms: int
    payload: int


class Delivered:
    """A set of messages, about 24 bytes each; asked with `in` for records and messages of a source.

    `len` counts each once.
    """

    def __init__(self, names: Iterable[Name]) -> None:
        found: dict[Partition, _Columns] = {}
        for part, of, time_ms, payload in names:
            numbers, times, payloads = found.setdefault(part, (array("Q"), array("q"), array("q")))
            numbers.append(of)
            times.append(time_ms)
            payloads.append(payload)
        self._found = {part: _sorted(columns) for part, columns in found.items()}

    def __len__(self) -> int:
        return sum(len(numbers) for numbers, _, _ in self._found.values())

    def __contains__(self, element: KafkaRecord | PubsubRecord) -> bool:
        part, wanted, *rest = _name_of(element)
        if part not in self._found:
            return False
        numbers, times, payloads = self._found[part]
        at = bisect_left(numbers, wanted)
        while at < len(numbers) and numbers[at] == wanted:
            if [times[at], payloads[at]] == rest:
                return True
            at += 1
        return False


_Columns: TypeAlias = "tuple[array[int], array[int], array[int]]"


def _sorted(columns: _Columns) -> _Columns:
    """By number, time and payload, each once."""
    numbers, times, payloads = (
        np.frombuffer(column, kind)
        for column, kind in zip(columns, (np.uint64, np.int64, np.int64), strict=True)
    )
    order = np.lexsort((payloads, times, numbers))
    ordered = [column[order] for column in (numbers, times, payloads)]
    new = np.ones(len(order), bool)
    new[1:] = np.any([column[1:] != column[:-1] for column in ordered], axis=0)
    of_number, of_time, of_payload = (column[new].tobytes() for column in ordered)
    return array("Q", of_number), array("q", of_time), array("q", of_payload)


def _name_of(element: KafkaRecord | PubsubRecord) -> Name:
    payload = _payload(element)
    if isinstance(element, KafkaRecord):
        part = element.topic, -1 if element.partition is None else element.partition
        return Name(part, element.offset or 0, _or_none(element.timestamp_ms), payload)
    number_of = key_of_id(element.message_id)
    return Name(_MESSAGES, number_of, _or_none(element.publish_time_ms), payload)


def _payload(element: KafkaRecord | PubsubRecord) -> int:
    """The mapping leaves the payload as it is; a null value is an empty one there."""
    return hash((element.value if isinstance(element, KafkaRecord) else element.data) or b"")


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
        name = name_in(texts, _payload(item))
        if name is None:
            continue
        if wanted is None or (name.part in wanted and name.number in wanted[name.part]):
            yield name


def _place_in(texts: Mapping[str, str], payload: int) -> Name | None:
    partition, offset = number(texts.get(PARTITION, "")), number(texts.get(OFFSET, ""))
    if partition < 0 or offset < 0 or TOPIC not in texts:
        return None
    time_ms = number(texts.get(TIMESTAMP, ""))
    return Name((texts[TOPIC], partition), offset, time_ms, payload)


def _id_in(texts: Mapping[str, str], payload: int) -> Name | None:
    if not texts.get(MESSAGE_ID):
        return None
    time_ms = number(texts.get(PUBLISH_TIME, ""))
    return Name(_MESSAGES, key_of_id(texts[MESSAGE_ID]), time_ms, payload)
