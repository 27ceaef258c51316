"""The ledger of a Kafka source: what became of each offset. About five bytes an offset."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator

import numpy as np

from transforms.audit.rows import BY_CONTENT, DELIVERED, KNOWN, TWICE
from transforms.ranges import Span

_BATCH = 1 << 20
_TIME_MASK = (1 << 32) - 1


class Offsets:
    """The offsets that one partition holds, ascending, each with its state.

    An offset's rank is how many are held before it. Kept are the runs of offsets without a gap, and
    by rank a byte and the end of the record's timestamp: a compacted topic costs by its records,
    not by its offsets. By the timestamp a record is told from one that had its offset in a topic
    that was deleted and made again.
    """

    def __init__(self) -> None:
        self._starts, self._ranks = array("q"), array("q")
        self._times = array("I")
        self._next = -1
        self._deliveries: array[int] | None = None
        self.states = bytearray()

    def add(self, offset: int, state: int, timestamp_ms: int | None) -> None:
        if offset != self._next:
            self._starts.append(offset)
            self._ranks.append(len(self.states))
        self._next = offset + 1
        self.states.append(state)
        self._times.append((timestamp_ms or 0) & _TIME_MASK)

    def rank(self, offset: int, timestamp_ms: int | None) -> int:
        """-1 where there is no such offset, or a record of another time; None is any time."""
        run = bisect_right(self._starts, offset) - 1
        if run < 0:
            return -1
        rank = self._ranks[run] + offset - self._starts[run]
        end = self._ranks[run + 1] if run + 1 < len(self._ranks) else len(self.states)
        if rank >= end:
            return -1
        other = timestamp_ms is not None and self._times[rank] != timestamp_ms & _TIME_MASK
        return -1 if other else rank

    def deliver(self, offset: int, delivery: int, timestamp_ms: int | None) -> bool:
        """Marks an offset; False where none such is expected.

        Args:
          delivery: names the delivery: the same one again is none. 0 where none is repeated.
        """
        rank = self.rank(offset, timestamp_ms)
        if rank < 0:
            return False
        state = self.states[rank]
        if state & BY_CONTENT:
            return False
        if not state & DELIVERED:
            self.states[rank] = state | DELIVERED
            if delivery:
                if self._deliveries is None:
                    self._deliveries = array("Q", [0]) * len(self.states)
                self._deliveries[rank] = delivery
        elif not delivery or self._deliveries is None or self._deliveries[rank] != delivery:
            self.states[rank] = state | TWICE
        return True

    def missing(self) -> Iterator[Span]:
        """The offsets of which nothing is known, as spans, ascending."""
        if not self.states:
            return
        states, known = np.frombuffer(self.states, np.uint8), np.frombuffer(KNOWN, bool)
        starts, ranks = np.frombuffer(self._starts, np.int64), np.frombuffer(self._ranks, np.int64)
        open_span: Span | None = None
        for begin in range(0, len(states), _BATCH):
            found = np.flatnonzero(~known[states[begin : begin + _BATCH]]) + begin
            run = np.searchsorted(ranks, found, "right") - 1
            offsets = starts[run] + found - ranks[run]
            if not len(offsets):
                continue
            cuts = np.flatnonzero(np.diff(offsets) != 1)
            firsts, lasts = offsets[np.append(0, cuts + 1)], offsets[np.append(cuts, -1)]
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
                if open_span is not None and first == open_span[1] + 1:
                    open_span = open_span[0], last
                    continue
                if open_span is not None:
                    yield open_span
                open_span = first, last
        if open_span is not None:
            yield open_span
