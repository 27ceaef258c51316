"""Reads what a Pub/Sub topic has had, through a temporary subscription of the reader's own."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

from transforms.control import Clock
from transforms.deadlines import PATIENCE_S
from transforms.errors import CommitError, PreflightError, SourceError, UnavailableError
from transforms.pubsub.client import PubsubAdmin, Subscriber, emulator, open_admin
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

_log = logging.getLogger(__name__)

_EXPIRES_AFTER_S = 86_400
_ACK_DEADLINE_S = 10
_CALL_S = 10.0
_LONGEST_PULL_S = 60.0
"""Below what keepalives without data make the emulator hang up after, 90 s."""

_SHORT_PULL_S = 2.0
_LOOK_S = 0.2


@dataclass(frozen=True)
class Past:
    """What of a topic is read.

    Attributes:
      topic: `projects/P/topics/T`.
      project: `projects/P` of the temporary subscription.
      filter: Pub/Sub's own, of the messages that are wanted; empty for all.
      since_ms: where to begin, milliseconds since the epoch, or None for what comes from now on;
        without meaning if there is a snapshot.
      snapshot: `projects/P/snapshots/S` of a subscription of the topic; empty for none.
    """

    topic: str
    project: str
    filter: str = ""
    since_ms: int | None = 0
    snapshot: str = ""


@dataclass(frozen=True)
class Reading:
    """How a subscription is read.

    Attributes:
      only_past: what is published after reading began is not waited for.
      at_most: so many are pulled, and no more.
      in_one_pull: as many as are done with within a lease.
      shared: others read it, too: no pull is cut off, which would keep what it takes from them.
    """

    only_past: bool = True
    at_most: float = math.inf
    in_one_pull: int = 1_000
    shared: bool = False


_ALL_OF_THE_PAST = Reading()


@contextlib.contextmanager
def temporary_subscription(reader: str, past: Past, service: Service = DEFAULT) -> Iterator[str]:
    """A subscription that holds a topic's past; deleted at the end, whatever happens.

    Args:
      reader: what its name begins with.
      service: where the topic is, and who reads it.
    Raises:
      PreflightError: it cannot be made; nothing is left.
    """
    name = f"{past.project}/subscriptions/{reader}{uuid.uuid4().hex}"
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
            since_ms = past.since_ms
            if since_ms is None and emulator():  # whose subscriptions begin with what is kept
                since_ms = int(time.time() * 1000)
            if since_ms is not None or past.snapshot:
                admin.seek(name, since_ms, past.snapshot or None)
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
    how: Reading = _ALL_OF_THE_PAST,
) -> Generator[list[PubsubRecord]]:
    """What each pull brought; acknowledged when the next one is asked for, else given back.

    Ends after `idle_s` without a message.

    Raises:
      SourceError: the service refuses, or does not answer for a minute.
    """
    awaited_ms = now() * 1000 if how.only_past else math.inf
    longest_s = _SHORT_PULL_S if how.shared else _LONGEST_PULL_S
    left = how.at_most
    with ExitStack() as opened:
        subscriber = opened.enter_context(closing(Subscriber(subscription, service)))
        if not how.shared:
            opened.enter_context(_cancelled(subscriber, stopping))
        heard = clock()
        failing_since: float | None = None
        while not stopping() and left > 0:
            try:
                if clock() - heard >= idle_s:
                    subscriber.ask(_CALL_S)
                    return
                left_s = heard + idle_s - clock()
                most = int(min(left, how.in_one_pull))
                pulled = subscriber.pull(most, min(max(left_s, 1.0), longest_s))
                if not pulled and idle_s == math.inf:
                    subscriber.ask(_CALL_S)
            except UnavailableError as error:
                failing_since = clock() if failing_since is None else failing_since
                if clock() - failing_since > PATIENCE_S:
                    raise SourceError(str(error)) from error
                # What an answer that was lost held comes again when its lease has run out.
                idle_s = max(idle_s, 2 * _ACK_DEADLINE_S)
                heard = clock()
                time.sleep(_LOOK_S)
                continue
            if pulled:  # silence is no answer
                failing_since = None
            try:
                yield pulled.records
            except GeneratorExit:
                with contextlib.suppress(CommitError):
                    subscriber.modify_ack_deadline(pulled.ack_ids, 0, _CALL_S)
                raise
            subscriber.acknowledge(pulled.ack_ids, PATIENCE_S)
            left -= len(pulled)
            if any((record.publish_time_ms or 0) <= awaited_ms for record in pulled.records):
                heard = clock()


@contextlib.contextmanager
def _cancelled(subscriber: Subscriber, stopping: Callable[[], bool]) -> Iterator[None]:
    """Within, a pull that waits is ended when reading is to stop."""
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
