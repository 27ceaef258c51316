"""Reads what a Pub/Sub topic has had, through a temporary subscription of the audit's own."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from transforms.audit.kafka import PATIENCE_S
from transforms.control import Clock
from transforms.errors import PreflightError, SourceError, UnavailableError
from transforms.pubsub.client import PubsubAdmin, Subscriber, open_admin
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

_log = logging.getLogger(__name__)

PREFIX = "bridge-audit-"
"""What the names of temporary subscriptions begin with."""

_EXPIRES_AFTER_S = 86_400
_ACK_DEADLINE_S = 10
_CALL_S = 10.0
_PULL_MESSAGES = 1_000
_LONGEST_PULL_S = 60.0
"""Below what keepalives without data make the emulator hang up after, 90 s."""

_LOOK_S = 0.2


@dataclass(frozen=True)
class Past:
    """What of a topic is read.

    Attributes:
      topic: `projects/P/topics/T`.
      project: `projects/P` of the temporary subscription.
      filter: Pub/Sub's own, of the messages that are wanted; empty for all.
      since_ms: where to begin, milliseconds since the epoch; without meaning if there is a
        snapshot.
      snapshot: `projects/P/snapshots/S` of a subscription of the topic; empty for none.
    """

    topic: str
    project: str
    filter: str = ""
    since_ms: int = 0
    snapshot: str = ""


@contextlib.contextmanager
def temporary_subscription(past: Past, service: Service = DEFAULT) -> Iterator[str]:
    """A subscription that holds a topic's past; deleted at the end, whatever happens.

    Args:
      service: where the topic is, and who reads it.
    Raises:
      PreflightError: it cannot be made; nothing is left.
    """
    name = f"{past.project}/subscriptions/{PREFIX}{uuid.uuid4().hex}"
    with closing(open_admin(_CALL_S, service)) as admin:
        created = False
        try:
            admin.create_subscription(
                name,
                past.topic,
                ack_deadline_s=_ACK_DEADLINE_S,
                filter=past.filter,
                expires_after_s=_EXPIRES_AFTER_S,
            )
            created = True
            admin.seek(name, past.since_ms, past.snapshot or None)
            yield name
        finally:
            _delete(admin, name, created)


def _delete(admin: PubsubAdmin, name: str, created: bool) -> None:
    """What could not be created may be there all the same, if only the answer was lost."""
    try:
        admin.delete_subscription(name)
    except PreflightError as error:
        if created:
            _log.warning("%s; it expires by itself after a day", error)


def read(
    subscription: str,
    idle_s: float,
    stopping: Callable[[], bool],
    clock: Clock = time.monotonic,
    now: Callable[[], float] = time.time,
    service: Service = DEFAULT,
) -> Iterator[list[PubsubRecord]]:
    """What each pull brought; acknowledged when the next one is asked for.

    Ends after `idle_s` without a message that was published before reading began.

    Raises:
      SourceError: the service refuses, or does not answer for a minute.
    """
    began_ms = now() * 1000
    with closing(Subscriber(subscription, service)) as subscriber, _cancelled(subscriber, stopping):
        heard = clock()
        failing_since: float | None = None
        while not stopping():
            try:
                if clock() - heard >= idle_s:
                    subscriber.ask(_CALL_S)
                    return
                left_s = heard + idle_s - clock()
                received = subscriber.pull(_PULL_MESSAGES, min(max(left_s, 1.0), _LONGEST_PULL_S))
            except UnavailableError as error:
                failing_since = clock() if failing_since is None else failing_since
                if clock() - failing_since > PATIENCE_S:
                    raise SourceError(str(error)) from error
                # What an answer that was lost held comes again when its lease has run out.
                idle_s = max(idle_s, 2 * _ACK_DEADLINE_S)
                heard = clock()
                time.sleep(_LOOK_S)
                continue
            if received:  # silence is no answer
                failing_since = None
            yield [item.record for item in received]
            subscriber.acknowledge([item.ack_id for item in received], PATIENCE_S)
            if any((item.record.publish_time_ms or 0) <= began_ms for item in received):
                heard = clock()


@contextlib.contextmanager
def _cancelled(subscriber: Subscriber, stopping: Callable[[], bool]) -> Iterator[None]:
    """Within, a pull that waits is ended when the audit is to stop."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(_LOOK_S):
            if stopping():
                subscriber.cancel()
                return

    thread = threading.Thread(target=run, name="stop pulling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
