"""The leases of one subscription's messages: kept up while held, missed when they run out.

    hold -> (extended, every third of a lease) -> forget -> ack
                                               -> forget_all -> give_back (nack)

A thread extends the leases of all that is held. A lock guards what is held and remembered; no
request is sent, and no one else's lock is taken, under it.
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable, Iterable

from transforms import limits
from transforms.errors import CommitError
from transforms.metrics import Counts
from transforms.pubsub.client import Received, Subscriber

_log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
"""Deadline of an ack, a nack or a lease extension, retries included."""

_MIN_LEASE_S = 10
_REMEMBERED_IDS = 100_000


class Held:
    """A message that this process holds a lease of; times are the clock's, in seconds."""

    __slots__ = ("ack_id", "expired", "lease_ends", "message_id", "pulled_at", "size_bytes")

    def __init__(self, received: Received, now: float, lease_ends: float) -> None:
        self.ack_id = received.ack_id
        self.message_id = received.record.message_id
        self.size_bytes = received.record.payload_bytes
        self.pulled_at = now
        self.lease_ends = lease_ends
        self.expired = False


class Leases:
    """See the module. All methods may be called from any thread.

    Args:
      subscription: its full name, for warnings.
      ack_deadline_s: each extension lasts as long, within what the service allows.
      max_lease_s: a message that is held longer than this is not extended any more.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        subscription: str,
        ack_deadline_s: int,
        max_lease_s: float,
        counts: Counts,
        clock: Callable[[], float],
    ) -> None:
        self.lease_s = max(_MIN_LEASE_S, min(ack_deadline_s, limits.PUBSUB_MAX_ACK_DEADLINE_S))
        self._subscriber = subscriber
        self._subscription = subscription
        self._max_lease_s = max_lease_s
        self._counts = counts
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._expected_again: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="leases", daemon=True)
        self._thread.start()

    # Held messages ----------------------------------------------------------------------------

    def hold(self, received: Iterable[Received]) -> list[Held]:
        """Keeps up the leases of messages that were just pulled, until they are forgotten."""
        now = self._clock()
        messages = [Held(item, now, now + self.lease_s) for item in received]
        with self._lock:
            self._held.update((held.ack_id, held) for held in messages)
        return messages

    @property
    def holding(self) -> bool:
        """Whether there are messages that are neither acknowledged nor given back."""
        with self._lock:
            return bool(self._held)

    def forget(self, messages: list[Held]) -> None:
        """Extends them no more, since they are about to be acked; notes those that are too late."""
        self._note_expired(messages)
        with self._lock:
            for held in messages:
                self._held.pop(held.ack_id, None)

    def forget_all(self) -> list[Held]:
        """Extends nothing of what is held any more; returns it, to be given back."""
        with self._lock:
            messages, self._held = list(self._held.values()), {}
        return messages

    def give_back(self, messages: list[Held]) -> None:
        """Nacks: the service delivers them anew, at the latest when their leases run out."""
        if not messages:
            return
        self.expect_again(messages)
        try:
            self._subscriber.modify_ack_deadline(
                [held.ack_id for held in messages], 0, REQUEST_TIMEOUT_S
            )
        except CommitError as error:
            _log.warning("%s; they come again when their leases run out", error)

    def stop(self) -> None:
        """Ends the thread; waits for an extension that is under way, 10 s at most."""
        self._stopping.set()
        self._thread.join(REQUEST_TIMEOUT_S)

    # Redeliveries -----------------------------------------------------------------------------

    def expect_again(self, messages: list[Held]) -> None:
        """Remembers, of the last 100,000, that the service will deliver them again."""
        with self._lock:
            for held in messages:
                self._expected_again[held.message_id] = None
            while len(self._expected_again) > _REMEMBERED_IDS:
                self._expected_again.popitem(last=False)

    def expected(self, messages: list[Held]) -> list[bool]:
        """Whether an earlier delivery of each was not acked, or was acked too late."""
        with self._lock:
            return [held.message_id in self._expected_again for held in messages]

    def _note_expired(self, messages: list[Held]) -> None:
        """Counts and warns of messages whose lease has run out since the last look."""
        now = self._clock()
        with self._lock:
            late = [held for held in messages if held.lease_ends < now and not held.expired]
            for held in late:
                held.expired = True
        if late:
            _log.warning(
                "%s: %d leases ran out before their ack; expect these messages again",
                self._subscription,
                len(late),
            )
            self._counts.add("redelivery_expected", len(late))
            self.expect_again(late)

    # Thread -----------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """Extends at a third of the lease, so that two failures in a row are survived."""
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self.lease_s / 3)
            with self._lock:
                messages = list(self._held.values())
            self._note_expired(messages)
            if not stopping:
                self._extend(messages)

    def _extend(self, messages: list[Held]) -> None:
        now = self._clock()
        due = [held for held in messages if now - held.pulled_at < self._max_lease_s]
        if not due:
            return
        try:
            self._subscriber.modify_ack_deadline(
                [held.ack_id for held in due], self.lease_s, REQUEST_TIMEOUT_S
            )
        except CommitError as error:
            _log.warning("%s; tried again in %.0f s", error, self.lease_s / 3)
            return
        with self._lock:
            for held in due:
                held.lease_ends = now + self.lease_s
