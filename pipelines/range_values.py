"""The values of flags that bound a run: where it stops, and what a backfill is about.

As in `pipelines.flag_values`, parsers raise ValueError with what is wrong and what would be right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines import flag_values as values
from pipelines import resource_names
from transforms import nights
from transforms.kafka.client import Partition
from transforms.ranges import Ranges

_MOST_OFFSETS = 2**63


@dataclass(frozen=True)
class StopAt:
    """Where each partition ends; or, for `night_end`, when the run has done what it is for.

    Attributes:
      timestamp_ms: milliseconds since the epoch, for `timestamp`.
      offsets: the offset after the last one by (topic, partition), for `offsets`.
    """

    kind: Literal["now", "timestamp", "offsets", "night_end"]
    timestamp_ms: int | None = None
    offsets: Mapping[Partition, int] | None = None


@dataclass(frozen=True)
class RangeEnd:
    """An end of a range: a time in milliseconds since the epoch, or offsets."""

    timestamp_ms: int | None = None
    offsets: Mapping[Partition, int] | None = None


def stop_at(text: str) -> StopAt:
    """`now`, `timestamp=RFC3339`, `offsets=FILE` or `night_end`."""
    kind, _, rest = text.partition("=")
    if text in ("now", "night_end"):
        return StopAt(text)  # type: ignore[arg-type]
    if kind == "timestamp":
        return StopAt("timestamp", timestamp_ms=values.timestamp_ms(rest))
    if kind == "offsets":
        return StopAt("offsets", offsets=values.offsets_file(rest))
    raise ValueError(f"{text!r} is not one of now, timestamp=RFC3339, offsets=FILE, night_end")


def range_end(text: str) -> RangeEnd:
    """An RFC 3339 time, or `offsets=FILE`."""
    kind, _, rest = text.partition("=")
    if kind == "offsets":
        return RangeEnd(offsets=values.offsets_file(rest))
    return RangeEnd(timestamp_ms=values.timestamp_ms(text))


def night(text: str) -> str:
    """What `nights.night_value` reads; which date that is depends on when it is asked."""
    nights.night_value(text, 0.0, 0)
    return text


def offset_ranges(text: str) -> dict[Partition, Ranges]:
    """A JSON file `{"TOPIC": {"PARTITION": "100-199,250"}}`."""
    said = values.content_of(text)
    wanted = f'{text!r} is not JSON of the form {{"TOPIC": {{"PARTITION": "100-199,250"}}}}'
    try:
        content = json.loads(said)
        found = {
            (resource_names.kafka_topic(topic), _partition(number)): Ranges.from_text(spans)
            for topic, partitions in content.items()
            for number, spans in partitions.items()
        }
    except (TypeError, AttributeError):
        raise ValueError(f"{wanted}: message ids are asked for with --from and --to") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{wanted}: {str(error).splitlines()[0]}") from None
    for (topic, number), ranges in found.items():
        if ranges.spans and ranges.spans[-1][1] >= _MOST_OFFSETS:
            raise ValueError(f"{wanted}: see topic {topic!r}, partition {number}")
    if not found:
        raise ValueError(f"{text!r} names no offsets: nothing is missing")
    return found


def _partition(text: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,8}", text):
        raise ValueError(f"{text!r} is no partition's number")
    return int(text)
