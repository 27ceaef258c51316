"""Whether a topic's name still stands for the topic whose offsets are known.

A topic that is deleted and made again has the same name and other records: its old offsets mean
nothing. So each commit carries the topic's id as its metadata, each checkpoint has it, and a
session asks now and then.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping

from transforms.control import Clock
from transforms.errors import PreflightError
from transforms.kafka.client import Admin, KafkaConfig
from transforms.kafka.client_errors import asked_in_vain

_IN_METADATA = re.compile("topic_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_LOOK_TWICE_S = 0.5
"""Between two looks at a topic that seems to be gone, where the second cannot wait."""


def to_metadata(topic_id: str) -> str:
    """The text that is committed with an offset; empty where the id is unknown."""
    return f"topic_id={topic_id}" if topic_id else ""


def from_metadata(text: str) -> str:
    """The inverse; empty for what others have committed."""
    found = _IN_METADATA.fullmatch(text)
    return found[1] if found else ""


def differ(one: str, other: str) -> bool:
    """Whether two ids are known and not the same."""
    return bool(one and other and one != other)


class TopicIds:
    """The ids of the topics that a session reads, over an admin connection of its own.

    Args:
      interval_s: how often `due` says so.
      timeout_s: deadline of one question.
    Attributes:
      known: topic to the id that it had when its partitions were last begun.
      at_first: topic to the id that it had when this process first began one of them.
    """

    def __init__(
        self,
        cluster: KafkaConfig,
        interval_s: float,
        timeout_s: float,
        open_admin: Callable[[KafkaConfig, float], Admin],
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._open_admin = open_admin
        self._clock = clock
        self._admin: Admin | None = None
        self._due_at = clock() + interval_s
        self._missing: set[str] = set()
        self.known: dict[str, str] = {}
        self.at_first: dict[str, str] = {}

    def begin(self, ids: Mapping[str, str]) -> None:
        """Partitions of these topics are begun, which have these ids now."""
        self.known.update(ids)
        self.at_first = {**ids, **self.at_first}

    def ask(self, topics: Collection[str]) -> dict[str, str]:
        """The ids of those topics that exist.

        Raises:
          UnavailableError: the cluster cannot answer now.
          SourceError: it refuses to.
        """
        try:
            if self._admin is None:
                self._admin = self._open_admin(self._cluster, self._timeout_s)
            return self._admin.topic_ids(sorted(topics))
        except PreflightError as error:
            raise asked_in_vain(error) from error

    def due(self) -> bool:
        """Whether it is time to ask for changes."""
        return self._clock() >= self._due_at

    def changes(self, topics: Collection[str]) -> tuple[dict[str, str], set[str]]:
        """Asks for changes since the topics were begun; raises as `ask`.

        Returns:
          The new ids of those that were made anew, and those that are gone: missing twice in a row,
          since a broker that starts may not know all of them yet.
        """
        self._due_at = self._clock() + self._interval_s
        found = self.ask(topics)
        missing = set(topics) - found.keys()
        gone, self._missing = missing & self._missing, missing
        return {t: now for t, now in found.items() if differ(now, self.known.get(t, ""))}, gone

    def deleted(self, topics: Collection[str]) -> set[str]:
        """Those that are gone, or of whose name there is another one by now; raises as `ask`."""
        at_first, _ = self.changes(topics)
        if self._missing:
            time.sleep(_LOOK_TWICE_S)
        made_anew, gone = self.changes(topics)
        return gone | at_first.keys() | made_anew.keys()

    def close(self) -> None:
        """Disconnects; idempotent."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
