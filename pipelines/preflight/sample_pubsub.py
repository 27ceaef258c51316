"""Messages of a Pub/Sub subscription, pulled and given back: nothing is acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

from transforms.metrics import Counts
from transforms.pubsub.client import Subscriber
from transforms.pubsub.leases import Leases
from transforms.pubsub.service import DEFAULT, Service
from transforms.records import PubsubRecord

TIME_LIMIT_S = 60.0
"""Longest that a sample takes."""

QUIET_S = 3.0
"""What has not come after so long without any message does not come."""

_MAX_PULL = 1_000
_MAX_LEASE_S = 2 * TIME_LIMIT_S


def pulled(
    subscription: str,
    ack_deadline_s: int,
    count: int,
    note: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    service: Service = DEFAULT,
) -> Generator[PubsubRecord]:
    """Up to `count` messages, each once; all are given back when the iterator ends or is closed.

    Until then their leases are kept up, so that no one else gets them, nor this sample twice.

    Args:
      note: told in one line why there are fewer than `count`.
      service: where the subscription is, and who reads it.
    Raises:
      SourceError: the service refuses, or cannot answer.
    """
    subscriber = Subscriber(subscription, service)
    leases = Leases(subscriber, subscription, ack_deadline_s, _MAX_LEASE_S, Counts(), clock)
    seen: set[str] = set()
    puller = ThreadPoolExecutor(1, "pull")

    def pull(most: int, wait_s: float) -> list[PubsubRecord]:
        found = subscriber.pull(most, wait_s)
        leases.hold(found.ack_ids, [message.message_id for message in found.records])
        return found.records

    try:
        now_s = heard_s = clock()
        ends_s = now_s + TIME_LIMIT_S
        while len(seen) < count and now_s - heard_s < QUIET_S and now_s < ends_s:
            wait_s = max(0.1, heard_s + QUIET_S - now_s)
            found = puller.submit(pull, min(_MAX_PULL, count - len(seen)), wait_s).result()
            for message in found:
                if message.message_id not in seen:
                    seen.add(message.message_id)
                    yield message
            now_s = clock()
            if found:
                heard_s = now_s
        if len(seen) < count:
            why = f"{TIME_LIMIT_S:g} s are over" if now_s >= ends_s else "nothing more came"
            note(f"{len(seen):,} of {count:,} messages: {why}")
    finally:
        # An interrupted pull is waited for. Cancelled, it may get what is given back, and keep it.
        puller.shutdown()
        leases.stop()
        leases.give_back(leases.forget_all())
        subscriber.close()
