"""Where each assigned partition stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transforms.kafka.client import Offsets, Partition


class Places:
    """What librdkafka does not say of the partitions that it was assigned.

    Attributes:
      broken: those that cannot be read on, with the offset and the reason.
      unheard: those of which nothing has come since they were assigned or sought.
      in_hand: a message that was taken and is not handed on yet: its partition and offset.
    """

    def __init__(self) -> None:
        self.broken: dict[Partition, tuple[int, Exception]] = {}
        self.unheard: set[Partition] = set()
        self.in_hand: tuple[Partition, int] | None = None
        self._starts: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}

    def __contains__(self, part: Partition) -> bool:
        return part in self._starts

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._starts)

    def begin(self, starts: Offsets) -> None:
        """These are assigned now, each beginning anew, and no others."""
        self._starts = dict(starts)
        self.unheard = set(starts)

    def change(self, gone: Iterable[Partition], new: Offsets) -> None:
        """Some have gone, some are new, the others read on."""
        for part in gone:
            del self._starts[part]
            self.unheard.discard(part)
            self.forget(part)
        self._starts |= new
        self.unheard |= new.keys()

    def clear(self) -> None:
        """Nothing is assigned."""
        self.begin({})
        self.broken, self._ends = {}, {}

    def forget(self, part: Partition) -> None:
        """What was known of a partition's end, and that it cannot be read on, is over."""
        self._ends.pop(part, None)
        self.broken.pop(part, None)

    def at_end(self, part: Partition, offset: int) -> None:
        """A partition is read up to its end; offsets without a record may lie before it."""
        self._ends[part] = offset
        self.unheard.discard(part)

    def break_off(self, part: Partition, offset: int, error: Exception) -> None:
        """Reads no more of a partition."""
        if part in self._starts:
            self.broken.setdefault(part, (offset, error))

    def positions(self, reached: Offsets) -> dict[Partition, int]:
        """The next offsets.

        Args:
          reached: what librdkafka says; negative while it knows nothing. As long as nothing has
            come of a partition, it may be what was so before the partition was assigned.
        """
        found = {}
        for part, start in self._starts.items():
            if part in self.broken:
                found[part] = self.broken[part][0]
                continue
            known = part not in self.unheard and reached[part] >= 0
            found[part] = max(reached[part] if known else start, self._ends.get(part, 0))
        if self.in_hand is not None and self.in_hand[0] in found:
            part, offset = self.in_hand
            found[part] = min(found[part], offset)
        return found
