"""What the topics refuse that records name: asked of the cluster at the first record of each."""

from __future__ import annotations

import time
from collections.abc import Callable

from transforms.errors import (
    DeliveryError,
    HiddenTopicError,
    PreflightError,
    RefusedError,
    SourceError,
    UnavailableError,
)
from transforms.health import DESTINATION, Health, pauses
from transforms.kafka.client import Admin, KafkaConfig, TopicInfo
from transforms.kafka.client_errors import asked_in_vain
from transforms.kafka.clients import open_admin
from transforms.missing_topics import MissingTopics

_CALL_S = 10.0
_MOST = 10_000

_LOOK_TWICE_S = 0.5
"""Between two looks at a topic that is missing: a broker that starts may not know all of them."""


class TopicRules:
    """Knows the rules of topics that exist, and remembers for a while which do not; used by one
    thread.

    Args:
      create: how a missing one is created, as partitions and replication; None creates none.
      timeout_s: how long the cluster is asked for an answer.
    """

    def __init__(
        self,
        cluster: KafkaConfig,
        create: tuple[int, int] | None,
        timeout_s: float,
        health: Health,
        open_admin: Callable[[KafkaConfig, float], Admin] = open_admin,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._create = create
        self._timeout_s = timeout_s
        self._health = health
        self._open_admin = open_admin
        self._clock = clock
        self._sleep = sleep
        self._admin: Admin | None = None
        self._known: dict[str, TopicInfo] = {}
        self._missing = MissingTopics(clock)
        self._witness = ""

    def of(self, topic: str) -> TopicInfo:
        """The rules of a topic.

        Raises:
          RefusedError: it is not there, or this user may not write to it.
          DeliveryError: the cluster does not answer, or refuses to.
        """
        found = self._known.get(topic)
        if found is not None:
            return found
        if refused := self._missing.get(topic):
            raise refused
        try:
            found = self._insist(topic)
        except RefusedError as error:
            self._missing.add(topic, error)
            raise
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[topic] = found
        self._witness = topic
        return found

    def close(self) -> None:
        """Disconnects; idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def _insist(self, topic: str) -> TopicInfo:
        """Asks until there is an answer, for as long as a write is tried."""
        give_up = self._clock() + self._timeout_s
        for pause_s in pauses():
            try:
                return self._look_up(topic)
            except UnavailableError as error:
                unanswered = DeliveryError(str(error))
                self._health.failed(DESTINATION, unanswered)
                if self._clock() >= give_up:
                    raise unanswered from error
            except SourceError as error:
                raise DeliveryError(str(error)) from error
            self._sleep(pause_s)
        raise AssertionError("pauses do not end")

    def _look_up(self, topic: str) -> TopicInfo:
        try:
            if self._admin is None:
                self._admin = self._open_admin(self._cluster, min(_CALL_S, self._timeout_s))
            found = self._there(self._admin, topic)
            if found is None and self._create is not None:
                found = self._created(self._admin, topic, *self._create)
        except HiddenTopicError as error:
            what, _, remedy = str(error).partition("; ")
            raise RefusedError(what, remedy) from error
        except PreflightError as error:
            raise asked_in_vain(error) from error
        if found is None:
            raise RefusedError(
                f"there is no topic {topic} at {self._cluster.bootstrap_servers}",
                "create it, or set --create_topics=PARTITIONS:REPLICATION",
            )
        if not found.allows("WRITE"):
            raise RefusedError(
                f"this user may not write to topic {topic}",
                f"allow it with an ACL: kafka-acls --add --operation Write --topic {topic}",
            )
        return found

    def _there(self, admin: Admin, topic: str) -> TopicInfo | None:
        """The topic, if it exists; looked at twice unless the cluster knows another one, which it
        knew before."""
        found = admin.topics([topic, self._witness] if self._witness else [topic])
        if topic not in found and self._witness not in found:
            self._sleep(_LOOK_TWICE_S)
            found = admin.topics([topic])
        return found.get(topic)

    def _created(
        self, admin: Admin, topic: str, partitions: int, replication: int
    ) -> TopicInfo | None:
        try:
            admin.create_topic(topic, partitions, replication)
        except PreflightError as error:
            if isinstance(asked_in_vain(error), UnavailableError):
                raise
            raise RefusedError(str(error), "correct --create_topics, or create it") from error
        return self._there(admin, topic)
