"""A steady stream of sample alerts for a demo, in a thread; it waits when the bridge does."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from pipelines import alerts
from transforms.errors import BridgeError, PreflightError
from transforms.kafka import clients as kafka
from transforms.kafka.client import KafkaConfig, ProducerConfig, offsets_of
from transforms.pubsub import client as pubsub
from transforms.records import KafkaRecord, PubsubRecord

_log = logging.getLogger(__name__)

RATE = 20
"""Alerts a second, at most."""

MAX_AHEAD = 500
"""No more alerts than these wait for the bridge: 35 MB."""

MAX_ALERTS = 20_000
"""The stream ends after so many (1.4 GB, 17 minutes), since the servers keep all of them: the
emulator what is acknowledged too, in its heap."""

_CALL_S = 10.0


class Feed:
    """Sends alerts while the `with` lasts.

    Args:
      send: sends one alert to the bridge's source, and returns when it is there.
      carried: how many the bridge has carried so far; asked once a second.
      rate: alerts a second.
      limit: after so many the stream ends.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        carried: Callable[[], int],
        rate: float = RATE,
        limit: int = MAX_ALERTS,
    ) -> None:
        self.sent = 0
        self._send = send
        self._carried = carried
        self._rate = rate
        self._limit = limit
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(_CALL_S)

    def _run(self) -> None:
        carried = 0
        try:
            while self.sent < self._limit and not self._ended.is_set():
                with contextlib.suppress(PreflightError):  # a new broker knows no groups at first
                    carried = self._carried()
                room = MAX_AHEAD - (self.sent - carried)
                self._send_for_a_second(min(room, self._limit - self.sent))
        except BridgeError as error:
            if not self._ended.is_set():
                _log.error("the stream of sample alerts ends: %s", error)
            return
        if not self._ended.is_set():
            _log.info("the stream of sample alerts ends: %d are sent", self.sent)

    def _send_for_a_second(self, room: int) -> None:
        due = time.monotonic()
        for turn in range(round(self._rate)):
            if turn < room:
                self._send(alerts.alert(self.sent))
                self.sent += 1
            due += 1 / self._rate
            if self._ended.wait(max(0.0, due - time.monotonic())):
                return


@contextlib.contextmanager
def into_pubsub(pubsub_topic: str, config: KafkaConfig, kafka_topic: str) -> Iterator[None]:
    """Feeds a Pub/Sub topic; what lies in the Kafka topic has been carried."""
    with (
        closing(pubsub.Publisher(pubsub_topic, _CALL_S)) as publisher,
        closing(kafka.open_admin(config, _CALL_S)) as admin,
    ):
        partitions = admin.partitions([kafka_topic])

        def send(alert: bytes) -> None:
            publisher.publish([pubsub.to_wire(PubsubRecord(alert))])

        def carried() -> int:
            return sum(admin.end_offsets(partitions).values())

        with Feed(send, carried):
            yield


@contextlib.contextmanager
def into_kafka(config: KafkaConfig, topic: str, group_id: str) -> Iterator[None]:
    """Feeds a Kafka topic; what the group has committed has been carried."""
    with (
        closing(kafka.open_producer(config, ProducerConfig(delivery_timeout_s=_CALL_S))) as out,
        closing(kafka.open_admin(config, _CALL_S)) as admin,
    ):

        def send(alert: bytes) -> None:
            out.produce([KafkaRecord(topic, value=alert)])
            for failure in out.flush(_CALL_S):
                raise failure.error

        def carried() -> int:
            return sum(offsets_of(admin.committed(group_id)).values())

        with Feed(send, carried):
            yield
