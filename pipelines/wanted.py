"""What a backfill is about, once it is known which night is meant; and its name. Pure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.options import Options
from transforms import nights
from transforms.errors import UsageError
from transforms.kafka.client import Partition
from transforms.ranges import Ranges

_DIGITS = 12
_ANY = 2**63


@dataclass(frozen=True)
class Wanted:
    """What a backfill is about; of each kind None, or nothing, for all there is.

    Attributes:
      topics: names, or one `^regex`.
      from_ms, to_ms: time, in milliseconds since the epoch: from this one on, before that one.
      from_offsets, to_offsets: the same in offsets.
      offsets: only these.
      night: the date of the night that was asked for, as text.
    """

    topics: tuple[str, ...] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    from_offsets: Mapping[Partition, int] | None = None
    to_offsets: Mapping[Partition, int] | None = None
    offsets: Mapping[Partition, Ranges] = field(default_factory=dict)
    night: str = ""

    def named_offsets(self) -> Mapping[Partition, Ranges]:
        """The ranges that a file names, each partition's own, where one does."""
        if self.offsets or not (self.from_offsets or self.to_offsets):
            return self.offsets
        begin, end = self.from_offsets, self.to_offsets
        parts = [p for p in (begin or end or {}) if end is None or p in end]
        spans = {p: ((begin or {}).get(p, 0), (end or {}).get(p, _ANY) - 1) for p in parts}
        return {p: Ranges().with_spans([s] if s[0] <= s[1] else []) for p, s in spans.items()}


NOTHING = Wanted()


def wanted(options: Options, now_ms: int) -> Wanted:
    """What the flags of a backfill come to now.

    Raises:
      UsageError: a night lies ahead, or there is a date in a topic's name and no night.
    """
    begin, end = options.from_at, options.to_at
    dated = [nights.is_template(name) for name in options.kafka_topics]
    if not options.night:
        if any(dated):
            raise UsageError("--night: missing; --kafka_topics has a date in it")
        return Wanted(
            options.kafka_topics,
            begin.timestamp_ms if begin else None,
            end.timestamp_ms if end else None,
            begin.offsets if begin else None,
            end.offsets if end else None,
            options.offsets,
        )
    hour = options.change_hour
    night = nights.night_value(options.night, now_ms / 1000, hour)
    if nights.begin_ms(night, hour) > now_ms:
        raise UsageError(f"--night: {night} lies ahead; choose one that has begun")
    if dated and all(dated):
        return Wanted(nights.names(options.kafka_topics, night), night=str(night))
    if any(dated):
        raise UsageError(
            "--kafka_topics: some have a date in them and some have none; backfill one kind after "
            "the other"
        )
    span = nights.begin_ms(night, hour), nights.end_ms(night, hour)
    return Wanted(options.kafka_topics, *span, night=str(night))


def name(options: Options, what: Wanted) -> str:
    """The same for the same command, another one for any other source, range or destination."""
    parts: dict[str, Any] = {
        "source": [
            options.subscription,
            options.create_subscription_from,
            _absolute(options.from_archive),
            _brokers(options) if options.state and options.route.source == "kafka" else [],
        ],
        "topics": what.topics,
        "time": [what.from_ms, what.to_ms],
        "offsets": [
            _texts(what.from_offsets),
            _texts(what.to_offsets),
            {part: str(ranges) for part, ranges in _texts(what.offsets).items()},
        ],
        "destination": [
            options.pubsub_topic,
            options.kafka_topic,
            _brokers(options) if options.kafka_topic else [],
            _absolute(options.archive),
            options.format if options.archive else "",
        ],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _brokers(options: Options) -> list[str]:
    return sorted(options.bootstrap_servers.split(","))


def _absolute(folder: str) -> str:
    return os.path.abspath(folder) if folder and "://" not in folder else folder


def _texts(offsets: Mapping[Partition, Any] | None) -> dict[str, Any]:
    return {f"{topic}/{number}": value for (topic, number), value in (offsets or {}).items()}
