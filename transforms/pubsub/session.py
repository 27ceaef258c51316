"""Reading one subscription: prefetch, leases, and which messages are open, delivered or released.

    pull -> take -> (Beam: mapping, sink, finish_bundle) -> confirm -> ack

The session belongs to the process. A thread pulls one batch ahead, a second one extends the leases
of all that is held. A message leaves the session by an ack or by a nack, nothing else.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from transforms import limits
from transforms.errors import BridgeError, CommitError
from transforms.pubsub.client import Received, Subscriber
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)

PULL_MAX_MESSAGES = 1_000
"""Messages of one unary pull, the most that the service returns."""

PULL_TIMEOUT_S = 10.0
"""A pull that has nothing to return is sent again after this."""

REQUEST_TIMEOUT_S = 10.0
"""Deadline of an ack, a nack or a lease extension, retries included."""

_WAIT_S = 0.1
_REMEMBERED_IDS = 100_000


@dataclass(frozen=True)
class PubsubSourceConfig:
    """What a Pub/Sub source reads, and how; picklable.

    Attributes:
      subscription: `projects/P/subscriptions/S`.
      ack_deadline_s: the subscription's own; each lease extension lasts as long.
      max_lease_s: a message that is held longer than this is not extended any more.
      pull: one request a batch, or one stream.
      shards: readers that pull independently of each other.
    """

    bridge: BridgeConfig
    subscription: str
    ack_deadline_s: int = 10
    max_lease_s: float = 3_600.0
    pull: Literal["unary", "streaming"] = "unary"
    shards: int = 1


class _Held:
    """A message that this process holds a lease of."""

    __slots__ = ("ack_id", "expired", "lease_ends", "message_id", "pulled_at", "size_bytes")

    def __init__(self, received: Received, now: float, lease_ends: float) -> None:
        self.ack_id = received.ack_id
        self.message_id = received.record.message_id
        self.size_bytes = received.record.payload_bytes
        self.pulled_at = now
        self.lease_ends = lease_ends
        self.expired = False


class PubsubBundle:
    """What one bundle has taken; `finalize` is the bundle finalizer's callback."""

    def __init__(self, session: PubsubSession) -> None:
        self._session = session
        self.held: list[_Held] = []
        self.payload_bytes = 0
        self.first_taken_at: float | None = None
        self.ordered = False

    def finalize(self) -> None:
        """The sink has confirmed every message of this bundle."""
        self._session.confirm(self)


class PubsubSession:
    """See the module. Implements `registry.Session`."""

    def __init__(
        self,
        config: PubsubSourceConfig,
        bridge: Bridge,
        subscriber: Subscriber | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._bridge = bridge
        self._clock = clock
        self._subscriber = subscriber or Subscriber(config.subscription)
        self._lease_s = max(10, min(config.ack_deadline_s, limits.PUBSUB_MAX_ACK_DEADLINE_S))
        self._prefetch_bytes = max(1, config.bridge.max_in_flight_bytes // 4)
        self._changed = threading.Condition()
        self._prefetched: collections.deque[list[tuple[_Held, Received]]] = collections.deque()
        self._prefetched_bytes = 0
        self._pulling = False
        self._held: dict[str, _Held] = {}
        self._expected_again: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._failure: BridgeError | None = None
        self._ack_error: CommitError | None = None
        self._unacked: set[str] = set()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._pull_ahead, name="pull", daemon=True),
            threading.Thread(target=self._extend_leases, name="leases", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # Reading, called by the source's DoFn -----------------------------------------------------

    def begin(self) -> PubsubBundle:
        return PubsubBundle(self)

    def take(self, bundle: PubsubBundle) -> list[Any]:
        """The messages of one pull, noted as the bundle's; empty if none comes within 0.1 s.

        Raises:
          SourceError: the service refuses to be pulled from.
        """
        with self._changed:
            began = self._clock()
            if not self._prefetched and self._failure is None:
                self._changed.wait(_WAIT_S)
            if self._failure is not None:
                raise self._failure
            if not self._prefetched:
                if self._subscriber.answers:
                    self._bridge.control.idled(self._clock() - began)
                return []
            batch = self._prefetched.popleft()
            self._prefetched_bytes -= sum(held.size_bytes for held, _ in batch)
            self._changed.notify_all()
        self._note(bundle, batch)
        return [received.record for _, received in batch]

    def _note(self, bundle: PubsubBundle, batch: list[tuple[_Held, Received]]) -> None:
        control, counts = self._bridge.control, self._bridge.counts
        control.busy()
        if bundle.first_taken_at is None:
            bundle.first_taken_at = self._clock()
        again = 0
        for held, received in batch:
            bundle.held.append(held)
            bundle.payload_bytes += held.size_bytes
            bundle.ordered = bundle.ordered or bool(received.record.ordering_key)
            expected = self._expected_again and held.message_id in self._expected_again
            again += bool(expected or received.delivery_attempt > 1)
        counts.add("read", len(batch))
        if again:
            counts.add("redelivered", again)
        newest = batch[-1][1].record.publish_time_ms or 0
        counts.sample_read_delay(int(time.time() * 1000) - newest)

    @property
    def drained(self) -> bool:
        """Whether all that the run may take has been taken from here."""
        with self._changed:
            waiting = self._prefetched or self._pulling
            return self._bridge.control.exhausted and not waiting

    # Acknowledging ----------------------------------------------------------------------------

    def confirm(self, bundle: PubsubBundle) -> None:
        """Acknowledges a delivered bundle."""
        self._note_expired(bundle.held)
        self._forget(bundle.held)
        try:
            self._subscriber.acknowledge([h.ack_id for h in bundle.held], REQUEST_TIMEOUT_S)
        except CommitError as error:
            _log.warning("%s; these messages come again", error)
            self._ack_error = error
            self._unacked.update(held.message_id for held in bundle.held)
            self._bridge.counts.add("commit_failures")
            self._expect_again(bundle.held)
            return
        self._acked_again(bundle.held)

    def _note_expired(self, messages: list[_Held]) -> None:
        """Counts and warns of messages whose lease has run out since the last look."""
        now = self._clock()
        late = [held for held in messages if held.lease_ends < now and not held.expired]
        for held in late:
            held.expired = True
        if late:
            _log.warning(
                "%s: %d leases ran out before their ack; expect these messages again",
                self._config.subscription,
                len(late),
            )
            self._bridge.counts.add("redelivery_expected", len(late))
            self._expect_again(late)

    def _acked_again(self, messages: list[_Held]) -> None:
        """Forgets failed acks whose messages have come again and are acked now."""
        if self._ack_error is not None:
            self._unacked -= {held.message_id for held in messages}
            if not self._unacked:
                self._ack_error = None

    def _expect_again(self, messages: list[_Held]) -> None:
        for held in messages:
            self._expected_again[held.message_id] = None
        while len(self._expected_again) > _REMEMBERED_IDS:
            self._expected_again.popitem(last=False)

    def _forget(self, messages: list[_Held]) -> None:
        with self._changed:
            for held in messages:
                self._held.pop(held.ack_id, None)
            self._changed.notify_all()

    # The process's view -----------------------------------------------------------------------

    def lag(self) -> int | None:
        """None: the service's API does not tell a subscription's backlog."""
        return None

    def _release(self) -> None:
        """Nacks all that is held, prefetched messages included: the service delivers them anew."""
        with self._changed:
            held, self._held = list(self._held.values()), {}
            unclaimed = sum(len(batch) for batch in self._prefetched)
            self._prefetched.clear()
            self._prefetched_bytes = 0
        if not held:
            return
        if len(held) > unclaimed:
            self._bridge.counts.add("released", len(held) - unclaimed)
        self._expect_again(held)
        try:
            self._subscriber.modify_ack_deadline([h.ack_id for h in held], 0, REQUEST_TIMEOUT_S)
        except CommitError as error:
            _log.warning("%s; they come again when their leases run out", error)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # A pull that is still waiting would take the nacked messages, and keep their leases.
        self._subscriber.cancel()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_S)
        self._release()
        self._subscriber.close()
        if self._ack_error is not None:
            raise self._ack_error

    # Threads ----------------------------------------------------------------------------------

    def _pull_ahead(self) -> None:
        try:
            while self._wait_for_room():
                if self._config.pull == "streaming":
                    self._pull_stream()
                else:
                    self._pull_once()
        except BridgeError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _wait_for_room(self) -> bool:
        """Waits until the prefetch has room; False when the session is to end."""
        control = self._bridge.control
        with self._changed:
            while not (self._closed or control.stopping):
                if not self._prefetched:
                    return True
                self._changed.wait(_WAIT_S)
            return False

    def _pull_once(self) -> None:
        control = self._bridge.control
        with self._changed:
            reserved = control.reserve(PULL_MAX_MESSAGES)
            self._pulling = bool(reserved)
        if not reserved:
            time.sleep(_WAIT_S / 10)
            return
        received: list[Received] = []
        try:
            received = self._subscriber.pull(reserved, PULL_TIMEOUT_S)
        finally:
            with self._changed:
                self._hold(received)
                control.refund(reserved - len(received))
                self._pulling = False

    def _pull_stream(self) -> None:
        """Holds what a stream sends; from a stop on only to give it back, till the stream ends."""
        control = self._bridge.control
        for received in self._subscriber.stream(
            5 * PULL_MAX_MESSAGES, self._prefetch_bytes, self._lease_s
        ):
            left = len(received)
            while left and not control.stopping:
                left -= control.reserve(left)
                time.sleep(_WAIT_S / 10 if left else 0)
            self._hold(received)
            if not self._wait_for_room():
                self._subscriber.cancel()

    def _hold(self, received: list[Received]) -> None:
        if not received:
            return
        now = self._clock()
        batch = [(_Held(item, now, now + self._lease_s), item) for item in received]
        with self._changed:
            for held, _ in batch:
                self._held[held.ack_id] = held
                self._prefetched_bytes += held.size_bytes
            self._prefetched.append(batch)
            self._changed.notify_all()

    def _extend_leases(self) -> None:
        """Extends at a third of the lease, so that two failures in a row are survived."""
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._lease_s / 3)
                held = list(self._held.values())
            self._note_expired(held)
            now = self._clock()
            due = [h for h in held if now - h.pulled_at < self._config.max_lease_s]
            if self._closed or not due:
                continue
            try:
                self._subscriber.modify_ack_deadline(
                    [h.ack_id for h in due], self._lease_s, REQUEST_TIMEOUT_S
                )
            except CommitError as error:
                _log.warning("%s; tried again in %.0f s", error, self._lease_s / 3)
                continue
            for message in due:
                message.lease_ends = now + self._lease_s
