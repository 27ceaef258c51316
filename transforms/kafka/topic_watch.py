"""Topics that come and go while they are read: which are awaited, and what was read of the gone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from transforms.control import Clock
from transforms.kafka.client import Consumer, Partition
from transforms.kafka.selection import Selection
from transforms.metrics import Counts

_log = logging.getLogger(__name__)

_MOST_RANGES = 8


@dataclass
class Span:
    """What was read of one partition: so many records, from the first to the last offset."""

    first: int
    last: int
    records: int = 0


class TopicWatch:
    """Looks now and then which topics of a selection there are, if topics may come and go.

    It belongs to one session, and reports on the partitions that this one has had. A topic has gone
    when nothing of it is owned, and it is not selected any more or does not exist; that is looked
    for twice, since a broker that starts may not know all of them yet.

    Args:
      interval_s: how often it looks.
    Attributes:
      awaits: a topic of tonight does not exist yet.
    """

    def __init__(
        self,
        selection: Selection,
        consumer: Consumer,
        counts: Counts,
        interval_s: float,
        clock: Clock,
    ) -> None:
        self._selection = selection
        self._consumer = consumer
        self._counts = counts
        self._interval_s = interval_s
        self._clock = clock
        self._due_at = 0.0
        self._tonight = selection.tonight()
        self._absent: frozenset[str] = frozenset()
        self._read: dict[str, dict[int, Span]] = {}
        self._left: dict[str, dict[int, int | None]] = {}
        self._missing: set[str] = set()
        self.awaits = False

    # -- told by the session

    def claimed(self, partition: Partition, first: int, next_offset: int, records: int) -> None:
        """Records were read."""
        topic, number = partition
        spans = self._read.setdefault(topic, {})
        span = spans.setdefault(number, Span(first, first))
        span.first, span.last = min(first, span.first), max(next_offset - 1, span.last)
        span.records += records
        self._counts.add_of_topic(topic, "read", records)

    def parted(self, lags: Mapping[Partition, int | None]) -> None:
        """Partitions were given away, all of a topic at once; each with its lag, if known."""
        left: dict[str, dict[int, int | None]] = {}
        for (topic, number), lag in lags.items():
            left.setdefault(topic, {})[number] = lag
        self._left.update(left)
        self.soon()

    def soon(self) -> None:
        """The next look does not wait for its time."""
        self._due_at = 0.0

    # -- looking

    def look(self, owned: Iterable[Partition]) -> None:
        """Looks, if it is time: says what is awaited, and closes what has gone.

        Raises:
          UnavailableError, SourceError: see `Consumer.partitions`.
        """
        if not self._selection.changes or self._clock() < self._due_at:
            return
        there = self._topics(self._selection.now())
        self._await(there)
        mine = {topic for topic, _ in owned}
        self._left = {topic: lags for topic, lags in self._left.items() if topic not in mine}
        self._close([topic for topic in self._left if topic not in there])
        for topic in self._left.keys() & there:  # what happens to it from now on others know
            self._left[topic] = dict.fromkeys(self._left[topic])
        self._missing = self._left.keys() - there
        self._due_at = self._clock() + self._interval_s

    def _topics(self, topics: tuple[str, ...]) -> set[str]:
        return {topic for topic, _ in self._consumer.partitions(topics)}

    def _await(self, there: Collection[str]) -> None:
        tonight = self._selection.tonight()
        if tonight != self._tonight and self._absent:
            _log.info(
                "there was no %s in the night of %s; it is read if it still comes while its night "
                "is within --days_back=%d",
                _listed(sorted(self._absent)),
                self._tonight,
                self._selection.days_back,
            )
        absent = self._selection.of_night(tonight).difference(there)
        if new := sorted(absent - self._absent):
            _log.info("waiting for %s", _listed(new))
        self._tonight, self._absent = tonight, absent
        self.awaits = bool(absent)

    # -- closing

    def _close(self, topics: Collection[str]) -> None:
        unselected = [topic for topic in topics if not self._selection.holds(topic)]
        existing = self._topics(tuple(unselected)) if unselected else ()
        for topic in topics:
            if topic in existing:
                self._close_left_behind(topic)
            elif topic in self._missing:
                self._close_deleted(topic)

    def _close_left_behind(self, topic: str) -> None:
        """Its night is too long ago. What of it is unread is unread by the whole group."""
        parts = [(topic, number) for number in self._left[topic]]
        ends = self._consumer.watermarks(parts)
        committed = self._consumer.committed(parts)
        unread = 0
        for part, (first, end) in ends.items():
            unread += max(0, end - max(first, committed[part].offset if part in committed else 0))
        why = f"the night left the window of --days_back={self._selection.days_back}"
        self._say(topic, unread, why)

    def _close_deleted(self, topic: str) -> None:
        lags = self._left[topic].values()
        unread = None if None in lags else sum(lag or 0 for lag in lags)
        self._say(topic, unread, "the topic was deleted")

    def close_read(self, topics: Iterable[str]) -> None:
        """Topics are read to their end, and nothing more of them is wanted."""
        for topic in sorted(topics):
            self._say(topic, 0, "")

    def _say(self, topic: str, unread: int | None, why: str) -> None:
        """Says what was read; what was not is counted, unless it counts as lost already."""
        what = f"closed {topic}: {_what_was_read(self._read.pop(topic, {}))}"
        self._left.pop(topic, None)
        if unread is None:
            _log.info("%s; %s", what, why)
        elif unread == 0:
            _log.info("%s, all of it", what)
        else:
            _log.warning("%s; %s were not read (%s)", what, f"{unread:,}", why)
            if not self._selection.holds(topic):
                self._counts.add("left_unread", unread)
                self._counts.add_of_topic(topic, "left_unread", unread)


def _what_was_read(spans: Mapping[int, Span]) -> str:
    """`read 1,204,331 records, offsets 0-602,165 and 0-602,166`"""
    total = sum(span.records for span in spans.values())
    ranges = [f"{spans[number].first:,}-{spans[number].last:,}" for number in sorted(spans)]
    if len(ranges) > _MOST_RANGES:
        ranges[_MOST_RANGES:] = [f"{len(ranges) - _MOST_RANGES} more"]
    offsets = f", offsets {_listed(ranges)}" if ranges else ""
    return f"read {total:,} record{'' if total == 1 else 's'}{offsets}"


def _listed(texts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`"""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
