"""The records of a stream's files in their order, each once."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from transforms.archive import files
from transforms.archive.files import Ask, Record
from transforms.archive.layout import ArchivedFile
from transforms.archive.selection import Done, Stream, key_of
from transforms.errors import SourceError
from transforms.ranges import Ranges
from transforms.records import KafkaRecord


class Item(NamedTuple):
    """A record, and what `Done` calls it by.

    Attributes:
      number: its offset; a message's row in its file, from 0.
      begins: the first number of its file.
    """

    key: tuple[str, str]
    number: int
    record: Record
    begins: int = 0


def items(stream: Stream, done: Done, ask: Ask) -> Iterator[Item]:
    """What is not done: Kafka records by offset over all days, each once; messages file by file.

    Raises:
      SourceError: a file cannot be read, is damaged, or is not what its name says.
    """
    if stream[0].partition is None:
        for file in stream:
            yield from _undone(file, done, ask)
    else:
        yield from _by_offset(stream, done, ask)


def _by_offset(stream: Stream, done: Done, ask: Ask) -> Iterator[Item]:
    """Opens a file when its first offset's turn has come."""
    waiting = deque(enumerate(stream))
    heap: list[tuple[int, int, Item, Iterator[Item]]] = []
    last: dict[tuple[str, str], tuple[int, list[Record]]] = {}
    while waiting or heap:
        while waiting and (not heap or waiting[0][1].first <= heap[0][0]):
            rank, file = waiting.popleft()
            rest = _undone(file, done, ask)
            if (item := next(rest, None)) is not None:
                heapq.heappush(heap, (item.number, rank, item, rest))
        if not heap:
            continue
        number, rank, item, rest = heap[0]
        at, same = last.get(item.key, (-1, []))
        if at < number:
            last[item.key] = number, [item.record]
            yield item
        elif item.record not in same:
            same.append(item.record)
            yield item
        if (following := next(rest, None)) is not None:
            heapq.heapreplace(heap, (following.number, rank, following, rest))
        else:
            heapq.heappop(heap)


def _undone(file: ArchivedFile, done: Done, ask: Ask) -> Iterator[Item]:
    key = key_of(file)
    delivered = done.get(key, Ranges())
    if file.partition is not None and delivered.first_missing(file.first) > file.last:
        return
    begins = file.first if file.partition is not None else 0
    for number, record in _numbered(file, ask):
        if number not in delivered:
            yield Item(key, number, record, begins)


def _numbered(file: ArchivedFile, ask: Ask) -> Iterator[tuple[int, Record]]:
    batches = files.read(file.path, ask)
    if batches is None:
        raise SourceError(f"read {file.path}: no archived records; move it to another folder")
    row, last = 0, -1
    for batch in batches:
        for record in batch:
            if isinstance(record, KafkaRecord):
                position, number = record.offset or 0, record.offset or 0
                mine = (file.topic, file.partition) == record[:2]
            else:
                position, number = record.publish_time_ms or 0, row
                mine = file.partition is None
            if not mine or not file.first <= position <= file.last:
                raise SourceError(
                    f"read {file.path}: {record.name} is none that its name tells of; give it the "
                    "name that it had"
                )
            row, last = row + 1, max(last, position)
            yield number, record
    if last != file.last:
        raise SourceError(f"read {file.path}: its end is missing; restore it, or take it away")
