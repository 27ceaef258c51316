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
from collections.abc import Callable, Sequence

from transforms import limits
from transforms.errors import CommitError
from transforms.metrics import Counts
from transforms.pubsub.client import Subscriber

_log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
"""Deadline of an ack, a nack or a lease extension, retries included."""

_MIN_LEASE_S = 10
_REMEMBERED_IDS = 100_000


class Lease:
    """Messages that are held together: pulled, extended and forgotten at once. Times are the
    clock's, in seconds.

    Attributes:
      claimed: a bundle has them.
    """

    __slots__ = ("ack_ids", "claimed", "ends_at", "expired", "message_ids", "pulled_at")

    def __init__(
        self, ack_ids: Sequence[str], message_ids: Sequence[str], now: float, ends_at: float
    ) -> None:
        self.ack_ids = ack_ids
        self.message_ids = message_ids
        self.pulled_at = now
        self.ends_at = ends_at
        self.expired = self.claimed = False


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
        self._held: dict[Lease, None] = {}
        self._expected_again: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="leases", daemon=True)
        self._thread.start()

    # Held messages ----------------------------------------------------------------------------

    def hold(self, ack_ids: Sequence[str], message_ids: Sequence[str]) -> Lease:
        """Keeps up the lease of messages that were just pulled, until it is forgotten."""
        now = self._clock()
        lease = Lease(ack_ids, message_ids, now, now + self.lease_s)
        if ack_ids:
            with self._lock:
                self._held[lease] = None
        return lease

    @property
    def holding(self) -> bool:
        """Whether there are messages that are neither acknowledged nor given back."""
        with self._lock:
            return bool(self._held)

    def forget(self, leases: Sequence[Lease]) -> None:
        """Extends them no more, since they are acked."""
        with self._lock:
            for lease in leases:
                self._held.pop(lease, None)

    def forget_all(self) -> list[Lease]:
        """Extends nothing of what is held any more; returns it, to be given back."""
        with self._lock:
            leases, self._held = list(self._held), {}
        return leases

    def give_back(self, leases: Sequence[Lease]) -> None:
        """Nacks: the service delivers them anew, at the latest when their leases run out."""
        if not leases:
            return
        self.expect_again(leases)
        try:
            self._subscriber.modify_ack_deadline(ack_ids(leases), 0, REQUEST_TIMEOUT_S)
        except CommitError as error:
            _log.warning("%s; they come again when their leases run out", error)

    def stop(self) -> None:
        """Ends the thread; waits for an extension that is under way, 10 s at most."""
        self._stopping.set()
        self._thread.join(REQUEST_TIMEOUT_S)

    # Redeliveries -----------------------------------------------------------------------------

    def expect_again(self, leases: Sequence[Lease]) -> None:
        """Remembers, of the last 100,000, that the service will deliver them again."""
        with self._lock:
            for lease in leases:
                self._expected_again.update(dict.fromkeys(lease.message_ids))
            while len(self._expected_again) > _REMEMBERED_IDS:
                self._expected_again.popitem(last=False)

    def count_again(self, lease: Lease, attempts: Sequence[int]) -> int:
        """How many messages were delivered before: the service says so, or they were not acked."""
        with self._lock:
            expected = self._expected_again
            if not expected and max(attempts, default=0) <= 1:
                return 0
            deliveries = zip(lease.message_ids, attempts, strict=True)
            return sum(attempt > 1 or of in expected for of, attempt in deliveries)

    def note_expired(self, leases: Sequence[Lease]) -> None:
        """Counts and warns of messages whose lease has run out since the last look."""
        now = self._clock()
        with self._lock:
            late = [lease for lease in leases if lease.ends_at < now and not lease.expired]
            for lease in late:
                lease.expired = True
        if late:
            count = len(ack_ids(late))
            _log.warning(
                "%s: %d leases ran out before their ack; expect these messages again",
                self._subscription,
                count,
            )
            self._counts.add("redelivery_expected", count)
            self.expect_again(late)

    # Thread -----------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """Extends at a third of the lease, so that two failures in a row are survived."""
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self.lease_s / 3)
            with self._lock:
                leases = list(self._held)
            self.note_expired(leases)
            if not stopping:
                self._extend(leases)

    def _extend(self, leases: Sequence[Lease]) -> None:
        now = self._clock()
        due = [lease for lease in leases if now - lease.pulled_at < self._max_lease_s]
        if not due:
            return
        try:
            self._subscriber.modify_ack_deadline(ack_ids(due), self.lease_s, REQUEST_TIMEOUT_S)
        except CommitError as error:
            _log.warning("%s; tried again in %.0f s", error, self.lease_s / 3)
            return
        with self._lock:
            for lease in due:
                lease.ends_at = now + self.lease_s


def ack_ids(leases: Sequence[Lease]) -> list[str]:
    """Those of all their messages."""
    return [ack_id for lease in leases for ack_id in lease.ack_ids]
