"""What is left to read of given ranges of offsets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from transforms.kafka.client import Partition
from transforms.ranges import Ranges, Span

READ_THROUGH = 10_000
"""Offsets between two ranges that are read and dropped, since a seek costs more."""


class Remaining:
    """The ranges of each partition, ahead of where its reading is.

    A range ends where the consumer's position has passed it, not with a record: its last offsets
    may hold none (compaction, transactions).
    """

    def __init__(self, ranges: Mapping[Partition, Ranges]) -> None:
        self._left: dict[Partition, list[Span]] = {
            part: list(reversed(found.spans)) for part, found in ranges.items() if found.spans
        }
        self._ends = {part: spans[0][1] + 1 for part, spans in self._left.items()}

    @property
    def partitions(self) -> list[Partition]:
        """Those that are not read to their end."""
        return list(self._left)

    def begin(self, partition: Partition) -> int:
        """The next offset that is wanted of a partition with something left."""
        return self._left[partition][-1][0]

    def capped(self, partition: Partition, offset: int) -> int:
        """A position, or the end of what is wanted where it lies beyond."""
        return min(offset, self._ends.get(partition, offset))

    def wants(self, partition: Partition, offset: int) -> bool:
        """Whether a record belongs to a range; ranges are passed only by `advance`."""
        for first, last in reversed(self._left.get(partition, ())):
            if offset <= last:
                return offset >= first
        return False

    def advance(
        self, positions: Mapping[Partition, int]
    ) -> tuple[list[Partition], dict[Partition, int]]:
        """Passes what is read.

        Returns:
          The partitions that have just been read to their end; and where to seek to, since the next
          range is far.
        """
        done: list[Partition] = []
        seek: dict[Partition, int] = {}
        for part, spans in list(self._left.items()):
            at = positions.get(part, -1)
            while spans and at > spans[-1][1]:
                spans.pop()
            if not spans:
                del self._left[part]
                done.append(part)
            elif at >= 0 and spans[-1][0] > at + READ_THROUGH:
                seek[part] = spans[-1][0]
        return done, seek

    def count(self, positions: Mapping[Partition, int], partitions: Iterable[Partition]) -> int:
        """How many offsets are ahead of these positions; all of a partition without one."""
        return sum(
            max(0, last - max(first, positions.get(part, 0)) + 1)
            for part in partitions
            for first, last in self._left.get(part, ())
        )
