"""Which topics a `^regex` matches by now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from transforms.errors import SourceError
from transforms.kafka.client_rules import select_topics

_log = logging.getLogger(__name__)

INTERNAL_TOPICS = {"__consumer_offsets", "__transaction_state", "__share_group_state"}

_TIMEOUT_S = 2.0
"""Longest that a poll waits for the list of topics, when it looks for new ones."""

_RETRY_S = 1.0


class PatternWatch:
    """Looks for new topics that a pattern matches, which may become another one.

    librdkafka's own patterns are POSIX ones, which know no `\\d`; the other client's are not.
    """

    def __init__(
        self, interval_s: float, list_topics: Callable[[float], Mapping[str, Any]]
    ) -> None:
        """Args: `list_topics` takes its time-out, and raises SourceError."""
        self._pattern = ""
        self._interval_s = interval_s
        self._list_topics = list_topics
        self._topics: list[str] = []
        self._next_s = 0.0

    def use(self, pattern: str) -> None:
        """From the next look on, which is due, this is the pattern."""
        self._pattern, self._next_s = pattern, 0.0

    def changed(self) -> list[str] | None:
        """The topics that match, where they are others than before; asks once per interval."""
        now = time.monotonic()
        if now < self._next_s:
            return None
        self._next_s = now + self._interval_s
        try:
            known = self._list_topics(_TIMEOUT_S)
        except SourceError as error:
            _log.warning("%s; asked again later", error)
            self._next_s = now + min(_RETRY_S, self._interval_s)
            return None
        topics = select_topics([self._pattern], known, INTERNAL_TOPICS)
        if topics == self._topics:
            return None
        self._topics = topics
        return topics
