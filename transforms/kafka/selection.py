"""What a Kafka source reads: the selection of topics, cut into shards."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from transforms import nights
from transforms.kafka.client import Partition
from transforms.kafka.client_rules import select_topics

wall_clock: nights.Clock = time.time
"""What says which night it is, to every selection of this process."""


@dataclass(frozen=True)
class Selection:
    """Which topics are meant, by the clock.

    Attributes:
      topics: names, among them templates with a date (see `transforms.nights`); or one `^regex`.
      change_hour: of UTC, at which a night changes.
      days_back: so many nights before tonight belong to the selection, too.
      last_night: no later one ever does.
    """

    topics: tuple[str, ...]
    change_hour: int = 0
    days_back: int = 2
    last_night: date | None = None
    clock: nights.Clock = field(default_factory=lambda: nights.SteadyClock(wall_clock))

    @property
    def templates(self) -> tuple[str, ...]:
        """Those of `topics` that have a date in them."""
        return () if self.is_pattern else tuple(filter(nights.is_template, self.topics))

    @property
    def required(self) -> tuple[str, ...]:
        """The names that are not waited for: they stand there as they are."""
        return () if self.is_pattern else tuple(t for t in self.topics if not nights.is_template(t))

    @property
    def is_pattern(self) -> bool:
        """Whether it is one `^regex`."""
        return self.topics[:1] != () and self.topics[0].startswith("^")

    @property
    def changes(self) -> bool:
        """Whether topics may come and go that are selected."""
        return self.is_pattern or bool(self.templates)

    def now(self) -> tuple[str, ...]:
        """What is selected now, as the clients take it: names, or one `^regex`."""
        if not self.templates:
            return self.topics
        return _pattern(self.required, self.templates, self.tonight(), self.days_back)

    def holds(self, topic: str) -> bool:
        """Whether a topic is selected now, whether it exists or not."""
        return bool(select_topics(self.now(), [topic]))

    def tonight(self) -> date:
        """The night that it is, or the last one."""
        night = nights.night_of(self.clock(), self.change_hour)
        return night if self.last_night is None else min(night, self.last_night)

    def of_night(self, night: date) -> frozenset[str]:
        """The names of a night."""
        return frozenset(nights.names(self.templates, night))

    def until_tonight(self) -> Selection:
        """The same, of which the night that it is now is the last one."""
        return replace(self, last_night=self.tonight())

    @property
    def is_over(self) -> bool:
        """Whether the last night has ended."""
        if self.last_night is None:
            return False
        return self.clock() * 1000 >= nights.end_ms(self.last_night, self.change_hour)


@lru_cache(maxsize=8)
def _pattern(
    names: Sequence[str], templates: Sequence[str], tonight: date, days_back: int
) -> tuple[str]:
    """One `^regex`, so that topics that do not exist yet are found when they do."""
    dated = [n for d in nights.latest(tonight, days_back) for n in nights.names(templates, d)]
    return ("^(?:" + "|".join(map(re.escape, [*names, *dated])) + ")$",)


class Shard(NamedTuple):
    """Shard `number` (from 0) `of` so many: the element that the source reads."""

    number: int
    of: int

    def owns(self, partition: Partition) -> bool:
        """Whether a partition belongs to this shard; neighbours go to different shards."""
        topic, index = partition
        return (zlib.crc32(topic.encode()) + index) % self.of == self.number
