"""Which of an archive's files are read, in which order, and how many records they hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from transforms.archive import layout
from transforms.archive.layout import DAY_MS, ArchivedFile
from transforms.ranges import Ranges
from transforms.records import KafkaRecord, PubsubRecord

_MOST_FOLDERS = 100
"""Folders of days that are listed one by one; of more the topic's folder is listed as a whole."""

Stream = list[ArchivedFile]
"""The files of one topic and partition in the order of their first records, or of messages."""

Done = Mapping[tuple[str, str], Ranges]
"""What is delivered. Key: the folder of a topic's day, and partition or file name; value: offsets,
or numbers of rows."""


@dataclass(frozen=True)
class Selection:
    """What is read of an archive.

    Attributes:
      topics: of Kafka, names or one `^regex`; none: all, those of Pub/Sub too.
      from_ms, to_ms: only events from the first on and before the second.
      offsets: if not empty, only these, of Kafka records.
    """

    topics: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    offsets: Mapping[tuple[str, int], Ranges] = field(default_factory=dict)

    def folders(self) -> Iterator[str]:
        """The folders to look for files in, below the archive's URL; `""` is that itself."""
        if not self.topics or self.topics[0].startswith("^"):
            yield ""
            return
        for topic in self.topics:
            if self.from_ms is None or self.to_ms is None or len(self._days()) > _MOST_FOLDERS:
                yield topic
            else:
                yield from (layout.folder(topic, day) for day in self._days())

    def _days(self) -> range:
        first = 0 if self.from_ms is None else layout.day_of(self.from_ms)
        last = layout.LAST_MS if self.to_ms is None else self.to_ms - 1
        return range(first, layout.day_of(last) + 1)

    def admits_file(self, file: ArchivedFile) -> bool:
        """Whether there may be something in a file."""
        if file.day not in self._days() or not self._admits_topic(file.topic):
            return False
        if self.topics and file.partition is None:  # a topic of Pub/Sub with the same name
            return False
        if self.offsets and file.partition is not None:
            wanted = self.offsets.get((file.topic, file.partition), Ranges())
            return bool(wanted.between(file.first, file.last + 1).spans)
        return not self.offsets

    def _admits_topic(self, topic: str) -> bool:
        if not self.topics:
            return True
        if self.topics[0].startswith("^"):
            return re.match(self.topics[0], topic) is not None
        return topic in self.topics

    def admits(self, record: KafkaRecord | PubsubRecord) -> bool:
        """Whether a record of a file that may have some is to be read."""
        if isinstance(record, KafkaRecord):
            time_ms = record.timestamp_ms
            if self.offsets:
                part = (record.topic, record.partition or 0)
                if part not in self.offsets or (record.offset or 0) not in self.offsets[part]:
                    return False
        else:
            time_ms = record.publish_time_ms
        if self.from_ms is None and self.to_ms is None:
            return True
        return time_ms is not None and (
            (self.from_ms is None or time_ms >= self.from_ms)
            and (self.to_ms is None or time_ms < self.to_ms)
        )

    @property
    def whole(self) -> bool:
        """Whether all of each file that has something is to be read, but for offsets."""
        return all(ms is None or ms % DAY_MS == 0 for ms in (self.from_ms, self.to_ms))


def streams(files: Iterable[ArchivedFile]) -> list[Stream]:
    """The files, by topic and partition."""
    found: dict[tuple[str, int], Stream] = {}
    for file in files:
        partition = -1 if file.partition is None else file.partition
        found.setdefault((file.topic, partition), []).append(file)
    return [sorted(found[key], key=_order) for key in sorted(found)]


def _order(file: ArchivedFile) -> tuple[int, int, str]:
    return file.first, file.day, file.path


def key_of(file: ArchivedFile) -> tuple[str, str]:
    """What `Done` calls a file's records by."""
    folder = layout.folder(file.topic, file.day)
    return folder, file.path.rpartition("/")[2] if file.partition is None else str(file.partition)


def remaining(files: Iterable[ArchivedFile], selection: Selection, done: Done) -> int | None:
    """How many records are to be read, where names tell; compacted topics may have fewer."""
    spans: dict[tuple[str, str], Ranges] = {}
    count = 0
    for file in files:
        if file.partition is None or not selection.whole:
            return None
        named = Ranges(((file.first, file.last),))
        wanted = selection.offsets.get((file.topic, file.partition))
        if wanted is not None:
            named = wanted.between(file.first, file.last + 1)
        key = key_of(file)
        spans[key] = spans.get(key, Ranges()).with_spans(named.spans)
    for key, ranges in spans.items():
        delivered = done.get(key, Ranges())
        count += ranges.count - sum(delivered.between(a, b + 1).count for a, b in ranges.spans)
    return count
