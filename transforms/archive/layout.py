"""The names of an archive's folders and files. Pure.

    URL/alerts/year=2026/month=11/day=20/
        alerts+00003+00000000000000001042+00000000000000002041.avro            Kafka
        alerts+20261120T000000.001Z+20261120T001000.120Z+0123456789ab.avro     Pub/Sub

A Kafka file is named by partition, first and last offset, so that names sort by offset; a Pub/Sub
file by its first and last publish time, and something unique. The day is the event's, in UTC: of
Kafka's timestamp or of Pub/Sub's publish time. What has none lies in 1970-01-01, so that the same
record always has the same place.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LAST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999; what is later counts as that."""

EXTENSIONS = ("avro", "jsonl", "jsonl.gz", "jsonl.zst")

SPOOL = ".partial"
"""The folder at an archive's root where files lie that are not complete."""

_PATH = re.compile(
    r"(?:^|/)(?P<topic>[^/]+)/year=(?P<year>\d{4})/month=(?P<month>\d\d)/day=(?P<day>\d\d)/"
    r"(?P=topic)\+"
    r"(?:(?P<partition>\d{5,10})\+(?P<first>\d{20})\+(?P<last>\d{20})"
    r"|(?P<from>\d{8}T\d{6}\.\d{3}Z)\+(?P<to>\d{8}T\d{6}\.\d{3}Z)\+(?P<unique>[0-9a-f]{12}))"
    rf"\.(?P<extension>{'|'.join(map(re.escape, EXTENSIONS))})\Z",
    re.ASCII,
)


class ArchivedFile(NamedTuple):
    """What a file's path says of it.

    Attributes:
      path: where it is, as it was given.
      topic: the topic's name.
      day: days since the epoch, UTC.
      partition: Kafka's; None for messages of Pub/Sub.
      first, last: offsets, or publish times in milliseconds since the epoch.
      extension: one of `EXTENSIONS`.
    """

    path: str
    topic: str
    day: int
    partition: int | None
    first: int
    last: int
    extension: str


def day_of(timestamp_ms: int | None) -> int:
    """The day of an event, in days since the epoch."""
    return max(0, min(timestamp_ms or 0, LAST_MS)) // DAY_MS


def bounds_ms(day: int) -> tuple[float, float]:
    """The first millisecond of a day's events, and the first one after it."""
    last = LAST_MS // DAY_MS
    return (
        day * DAY_MS if day > 0 else -math.inf,
        (day + 1) * DAY_MS if day < last else math.inf,
    )


def folder(topic: str, day: int) -> str:
    """Where a topic's files of a day lie, below the archive's URL."""
    date = _EPOCH + timedelta(days=day)
    return f"{topic}/year={date.year:04}/month={date.month:02}/day={date.day:02}"


def kafka_name(topic: str, partition: int, first: int, last: int, extension: str) -> str:
    """The name of a file of Kafka records."""
    return f"{topic}+{partition:05}+{first:020}+{last:020}.{extension}"


def pubsub_name(topic: str, first_ms: int, last_ms: int, unique: str, extension: str) -> str:
    """The name of a file of Pub/Sub messages.

    Args:
      unique: 12 hexadecimal digits.
    """
    return f"{topic}+{_time(first_ms)}+{_time(last_ms)}+{unique}.{extension}"


def parse(path: str) -> ArchivedFile | None:
    """What a path says; None if it is none of an archive's files."""
    found = _PATH.search(path)
    if found is None:
        return None
    try:
        date = datetime(*map(int, found.group("year", "month", "day")), tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
        if found["partition"] is None:
            partition, first, last = None, _ms(found["from"]), _ms(found["to"])
        else:
            partition, first, last = map(int, found.group("partition", "first", "last"))
    except ValueError:
        return None
    day = (date - _EPOCH).days
    return ArchivedFile(path, found["topic"], day, partition, first, last, found["extension"])


_TIME = "%Y%m%dT%H%M%S"


def _time(timestamp_ms: int) -> str:
    seconds, ms = divmod(max(0, min(timestamp_ms, LAST_MS)), 1000)
    when = _EPOCH + timedelta(seconds=seconds)
    return f"{when.year:04}{when:%m%dT%H%M%S}.{ms:03}Z"


def _ms(text: str) -> int:
    when = datetime.strptime(text[:-5], _TIME).replace(tzinfo=timezone.utc)
    return int((when - _EPOCH).total_seconds()) * 1000 + int(text[-4:-1])
