"""When a run that lasts for a night has read all of it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from transforms.control import Clock
from transforms.kafka.client import Consumer, Partition
from transforms.kafka.client_rules import SESSION_TIMEOUT_MS
from transforms.kafka.selection import Selection

_log = logging.getLogger(__name__)

_ASK_EVERY_S = 1.0


class NightEnd:
    """Whether the last night is over, and this session's part of all nights is read to its end.

    A topic of which this session has nothing is read by other members of the group, if nothing of
    it has come here after what a group takes to notice a topic and share it.

    Args:
      selection: has a last night.
      interval_s: how often new topics are looked for.
    """

    def __init__(
        self, selection: Selection, consumer: Consumer, interval_s: float, clock: Clock
    ) -> None:
        self._selection = selection
        self._consumer = consumer
        self._settle_s = 2 * interval_s + SESSION_TIMEOUT_MS / 1000
        self._clock = clock
        self._due_at = 0.0
        self._strange_since: dict[str, float] = {}

    @property
    def stop_reason(self) -> str:
        """Why the run stops, for its last line."""
        return f"--stop=night_end, the night of {self._selection.tonight()} is over and read"

    def read_to_end(
        self, owned: Collection[Partition], lags: Mapping[Partition, int]
    ) -> set[str] | None:
        """The topics that this session has read, once all of them are read to their end; None
        before. Asks the brokers once a second, when the night is over.

        Args:
          lags: as they are known without asking; the brokers have the last word.
        Raises:
          UnavailableError, SourceError: see `Consumer`.
        """
        now_s = self._clock()
        if not self._selection.is_over or now_s < self._due_at:
            return None
        self._due_at = now_s + _ASK_EVERY_S
        existing = {topic for topic, _ in self._consumer.partitions(self._selection.now())}
        nightly = existing.difference(self._selection.required)
        mine = [part for part in owned if part[0] not in self._selection.required]
        if self._may_still_come(nightly - {topic for topic, _ in mine}, now_s):
            return None
        if any(lags.get(part) for part in mine) or not self._at_end(mine):
            return None
        tonight = self._selection.tonight()
        for topic in sorted(self._selection.of_night(tonight) - nightly):
            _log.warning("there was no %s in the night of %s", topic, tonight)
        return {topic for topic, _ in mine}

    def _may_still_come(self, strange: Collection[str], now_s: float) -> bool:
        since = {topic: self._strange_since.get(topic, now_s) for topic in strange}
        self._strange_since = since
        return any(now_s - since_s < self._settle_s for since_s in since.values())

    def _at_end(self, partitions: Collection[Partition]) -> bool:
        positions = self._consumer.positions()
        ends = self._consumer.watermarks(partitions)
        return all(positions.get(part, -1) >= ends[part][1] for part in partitions)
