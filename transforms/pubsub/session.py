"""Reading one subscription: prefetch, and which messages are open, delivered or released.

    pull -> poll -> claim -> (Beam: mapping, sink, finish_bundle) -> confirm -> ack

The session belongs to the process. A thread pulls one batch ahead, and another acknowledges one
bundle while the next is read; `Leases` keeps up the lease of each message from its pull on. A
message leaves the session by an ack or by a nack, nothing else.

One condition guards the session's state. The leases' lock may be taken under it, never the reverse;
no request is sent under either.
"""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

from transforms.errors import (
    AckError,
    BridgeError,
    CommitError,
    SourceError,
    UnavailableError,
)
from transforms.health import COMMITS, SOURCE, pauses
from transforms.pubsub.client import Pulled, Subscriber
from transforms.pubsub.leases import REQUEST_TIMEOUT_S, Lease, Leases, ack_ids
from transforms.pubsub.publish_times import PARK_S, EmptyCheck, PublishTimes
from transforms.pubsub.service import DEFAULT, Service
from transforms.reading import Bundle
from transforms.records import PubsubRecord, pubsub_bytes
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)

PULL_MAX_MESSAGES = 1_000
"""Messages of one unary pull, the most that the service returns."""

PULL_TIMEOUT_S = 10.0
"""A pull that has nothing to return is sent again after this."""

_LAST_PULL_S = 2.0
"""How long a waiting pull may take to return what is given back."""

_WAIT_S = 0.1

SILENCE_S = 3.0
"""After so long without a message the service is asked whether it is there at all."""

_ASK_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class PubsubSourceConfig:
    """What a Pub/Sub source reads, and how; picklable.

    Attributes:
      subscription: `projects/P/subscriptions/S`.
      ack_deadline_s: the subscription's own; each lease extension lasts as long.
      max_lease_s: a message that is held longer than this is not extended any more.
      pull: one request a batch, or one stream.
      shards: readers that pull independently of each other.
      service: where the subscription is, and who reads it.
      publish_times: those of the messages that are read; None for all.
    """

    bridge: BridgeConfig
    subscription: str
    ack_deadline_s: int = 10
    max_lease_s: float = 3_600.0
    pull: Literal["unary", "streaming"] = "unary"
    shards: int = 1
    service: Service = DEFAULT
    publish_times: PublishTimes | None = None


class PubsubBundle(Bundle):
    """What one bundle has taken.

    Attributes:
      begins_at: how many messages its shard had taken before.
      messages: how many it has taken.
    """

    def __init__(
        self, confirm: Callable[[PubsubBundle], None], is_quiet: Callable[[], bool] = bool
    ) -> None:
        super().__init__(confirm)
        self._is_quiet = is_quiet
        self.leases: list[Lease] = []
        self.begins_at = self.messages = 0
        self.ordered = False

    def is_full(self, limits: BridgeConfig) -> bool:
        """With ordering keys it ends with its pull: a key's next message waits for the ack. That of
        a finite run ends when nothing comes any more, so that nothing is held."""
        if self.leases and self._is_quiet():
            return True
        return self.ordered or self.messages >= limits.bundle_messages or super().is_full(limits)


def _has_messages(bundle: PubsubBundle) -> bool:
    return bool(bundle.leases)


class PubsubBatch(NamedTuple):
    """The messages of one pull and their lease, if there are any. Implements `reading.Batch`."""

    lease: Lease | None = None
    records: Sequence[PubsubRecord] = ()
    attempts: Sequence[int] = ()

    @property
    def positions(self) -> int:
        """A subscription has none; the tracker counts, and says whether reading may go on."""
        return len(self.records)


class PubsubSession:
    """See the module. Implements `registry.Session` and `reading.Reader`."""

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
        self._subscriber = subscriber or Subscriber(config.subscription, config.service)
        self._leases = Leases(
            self._subscriber,
            config.subscription,
            config.ack_deadline_s,
            config.max_lease_s,
            bridge.counts,
            clock,
        )
        self._changed = threading.Condition()
        self._prefetched: collections.deque[PubsubBatch] = collections.deque()
        self._pulling = False
        self._failure: BridgeError | None = None
        self._ack_error: CommitError | None = None
        self._unacked: set[str] = set()
        self._acks = ThreadPoolExecutor(1, "ack")
        self._acking: Future[None] | None = None
        self._heard_at = self._came_at = self._pull_began_at = clock()
        self._pull_failed = False
        self._empty_check = (
            EmptyCheck(config.publish_times) if config.publish_times is not None else None
        )
        self._parked: collections.deque[tuple[float, list[str]]] = collections.deque()
        self._open: list[PubsubBundle] = []
        self._closed = False
        self._ended = threading.Event()
        self._puller = threading.Thread(target=self._pull_ahead, name="pull", daemon=True)
        self._puller.start()

    # Reading, called by the source's DoFn -----------------------------------------------------

    def begin(self, taken: int = 0) -> PubsubBundle:
        """Begins a bundle; one that is repeated has its messages delivered again.

        Args:
          taken: how many messages the shard had taken before.
        """
        with self._changed:
            repeated = [b for b in self._open if b.begins_at >= taken]
            self._open = [b for b in self._open if b.begins_at < taken]
            bundle = PubsubBundle(self.confirm, self._is_quiet)
            bundle.begins_at = taken
            self._open.append(bundle)
        for failed in filter(_has_messages, repeated):
            self._bridge.counts.add("released", failed.messages)
            self._leases.forget(failed.leases)
            self._leases.give_back(failed.leases)
        return bundle

    def _is_quiet(self) -> bool:
        """Whether a finite run has got nothing for as long as an empty subscription takes."""
        times = self._config.publish_times
        return times is not None and self._clock() - self._came_at >= times.empty_after_s

    def poll(self) -> PubsubBatch:
        """The messages of one pull; none if none comes within 0.1 s.

        Raises:
          SourceError: the service refuses to be pulled from.
        """
        with self._changed:
            began = self._clock()
            if not self._prefetched and self._failure is None:
                self._changed.wait(_WAIT_S)
            if self._failure is not None:
                raise self._failure
            if self._prefetched:
                self._bridge.control.busy()
                self._changed.notify_all()
                return self._prefetched.popleft()
        self._ask_after_silence()
        if SOURCE not in self._bridge.health.in_trouble and not self._is_acking:
            self._bridge.control.idled(self._clock() - began)
        return PubsubBatch()

    def _ask_after_silence(self) -> None:
        """A pull that returns nothing looks the same whether there is nothing or nobody. Where
        pulls fail, that the service answers something else proves nothing."""
        if self._clock() - self._heard_at < SILENCE_S or self._pulls_fail:
            return
        try:
            self._subscriber.ask(_ASK_TIMEOUT_S)
        except UnavailableError as error:
            self._bridge.health.failed(SOURCE, error)
        else:
            self._heard()
            if not self._is_acking and self._ack_error is None:
                self._bridge.health.dropped(COMMITS)

    @property
    def _pulls_fail(self) -> bool:
        """Whether the last pull has; a stream does not while it lasts."""
        lasts = self._clock() - self._pull_began_at >= SILENCE_S
        return self._pull_failed and not (self._config.pull == "streaming" and lasts)

    def _heard(self) -> None:
        self._heard_at = self._clock()
        self._bridge.health.answered(SOURCE)

    def claim(self, bundle: PubsubBundle, batch: PubsubBatch) -> None:
        if bundle.first_claim_at is None:
            bundle.first_claim_at = self._clock()
        lease, records, attempts = batch
        assert lease is not None
        lease.claimed = True
        bundle.leases.append(lease)
        bundle.messages += len(records)
        bundle.payload_bytes += pubsub_bytes(records)
        bundle.ordered = bundle.ordered or any(record[2] for record in records)
        counts = self._bridge.counts
        counts.add("read", len(records))
        if again := self._leases.count_again(lease, attempts):
            counts.add("redelivered", again)
        newest = records[-1].publish_time_ms or 0
        counts.sample_read_delay(int(time.time() * 1000) - newest)

    def unclaim(self, batch: PubsubBatch) -> None:
        if batch.records:
            with self._changed:
                self._prefetched.appendleft(batch)

    @property
    def drained(self) -> bool:
        """Whether all that the run may take has been taken from here."""
        with self._changed:
            waiting = self._prefetched or self._pulling
            return self._bridge.control.exhausted and not waiting

    @property
    def finished(self) -> bool:
        with self._changed:
            over = self._empty_check is not None and self._empty_check.is_over
            return over and not self._prefetched

    # Acknowledging ----------------------------------------------------------------------------

    def confirm(self, bundle: PubsubBundle) -> None:
        """Begins to acknowledge a delivered bundle; returns when the one before it is done with,
        and, where a round ends, when this one is: between rounds nothing is in flight."""
        control = self._bridge.control
        with self._changed:
            if self._closed or bundle not in self._open:
                return  # what it had is given back
            self._open.remove(bundle)
            awaited = self._acking
            if bundle.leases:
                self._acking = self._acks.submit(self._acknowledge, bundle.leases)
            if control.round_over or control.stopping:
                awaited = self._acking
        if awaited is not None:
            awaited.result()

    @property
    def _is_acking(self) -> bool:
        return self._acking is not None and not self._acking.done()

    def _acknowledge(self, leases: Sequence[Lease]) -> None:
        """In a thread of its own. Leases are kept up meanwhile: it may take several requests."""
        self._leases.note_expired(leases)
        try:
            self._subscriber.acknowledge(ack_ids(leases), REQUEST_TIMEOUT_S)
        except CommitError as error:
            self._ack_failed(leases, error)
        except Exception as error:
            name = self._config.subscription
            _log.exception("acknowledge %s", name)
            self._ack_failed(leases, CommitError(f"acknowledge {name}: {type(error).__name__}"))
        else:
            self._bridge.health.answered(COMMITS)
            self._acked_again(leases)
        finally:
            self._leases.forget(leases)

    def _ack_failed(self, leases: Sequence[Lease], error: CommitError) -> None:
        _log.warning("%s; these messages come again", error)
        self._bridge.health.failed(COMMITS, error)
        failed = set(error.ack_ids if isinstance(error, AckError) else ack_ids(leases))
        with self._changed:
            self._ack_error = error
            for lease in leases:
                pairs = zip(lease.ack_ids, lease.message_ids, strict=True)
                self._unacked.update(of for ack_id, of in pairs if ack_id in failed)
        self._bridge.counts.add("commit_failures")
        self._leases.expect_again(leases)

    def _acked_again(self, leases: Sequence[Lease]) -> None:
        """Forgets failed acks whose messages have come again and are acked now."""
        with self._changed:
            if self._ack_error is not None:
                self._unacked.difference_update(*(lease.message_ids for lease in leases))
                if not self._unacked:
                    self._ack_error = None

    # The process's view -----------------------------------------------------------------------

    def lag(self) -> int | None:
        """None: the service's API does not tell a subscription's backlog."""
        return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._acks.shutdown()  # when all is acknowledged, or that has failed
        # A pull that is still waiting takes what is given back, and ends by that. The emulator has
        # a cancelled one take it for up to two seconds more, and keep its leases for nobody.
        if self._config.pull == "unary" and self._release():
            self._puller.join(_LAST_PULL_S)
        self._subscriber.cancel()
        self._leases.stop()
        self._ended.set()
        self._puller.join(REQUEST_TIMEOUT_S)
        self._release()
        self._give_back_parked()
        self._subscriber.close()
        if self._ack_error is not None:
            raise self._ack_error

    def _give_back_parked(self) -> None:
        """Hands out again at once what was younger than wanted: another run may want it."""
        parked = [ack_id for _, ack_ids_of_pull in self._parked for ack_id in ack_ids_of_pull]
        if not parked:
            return
        try:
            self._subscriber.modify_ack_deadline(parked, 0, REQUEST_TIMEOUT_S)
        except CommitError as error:
            _log.debug("%s; these messages come again later", error)

    def _release(self) -> bool:
        """Nacks all that is held, prefetched messages included: the service delivers them anew.

        Returns:
          Whether there was anything.
        """
        with self._changed:
            leases = self._leases.forget_all()
            self._prefetched.clear()
        if released := ack_ids([lease for lease in leases if lease.claimed]):
            self._bridge.counts.add("released", len(released))
        self._leases.give_back(leases)
        return bool(leases)

    # Pulling, in a thread of its own ----------------------------------------------------------

    def _pull_ahead(self) -> None:
        pull = self._pull_stream if self._config.pull == "streaming" else self._pull_once
        pauses_s = pauses()
        try:
            while self._wait_for_room():
                self._pull_began_at = self._clock()
                try:
                    pull()
                    self._pull_failed = False
                    pauses_s = pauses()
                except UnavailableError as error:
                    self._pull_failed, self._pull_began_at = True, math.inf  # none is under way
                    self._bridge.health.failed(SOURCE, error)
                    self._ended.wait(next(pauses_s))
        except BridgeError as error:
            self._fail(error)
        except Exception as error:
            name = self._config.subscription
            _log.exception("pull %s", name)
            self._fail(SourceError(f"pull {name}: {type(error).__name__}"))

    def _fail(self, error: BridgeError) -> None:
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
        pulled = Pulled()
        try:
            pulled = self._pull_wanted(reserved, self._empty_check)
        finally:
            with self._changed:
                if pulled:
                    self._prefetch(self._hold(pulled))
                control.refund(reserved - len(pulled))
                self._pulling = False

    def _pull_wanted(self, reserved: int, check: EmptyCheck | None) -> Pulled:
        """Pulls once; of a finite run only what belongs to it, and notes whether that is all.

        A pull for no longer than what proves that there is nothing; and that is proved only while
        nothing is held: a key's next message waits for the ack of the one before.
        """
        if check is None:
            return self._subscriber.pull(reserved, PULL_TIMEOUT_S)
        longest_s = min(PULL_TIMEOUT_S, check.needed_s)
        began, holding = self._clock(), self._leases.holding
        try:
            pulled = self._within(self._subscriber.pull(reserved, longest_s))
            if holding or self._leases.holding:
                check.begin_anew()
            else:
                check.pulled(len(pulled), self._clock() - began, longest_s)
            if check.must_ask:
                self._subscriber.ask(_ASK_TIMEOUT_S)
                check.answered()
        except UnavailableError:
            check.begin_anew()
            raise
        return pulled

    def _pull_stream(self) -> None:
        """Holds what a stream sends; from a stop on only to give it back, till the stream ends."""
        control = self._bridge.control
        limits = self._config.bridge  # of one bundle; another one may be waiting for its ack
        for pulled in self._subscriber.stream(
            2 * limits.bundle_messages, 2 * limits.bundle_bytes, self._leases.lease_s
        ):
            batch = self._hold(pulled) if pulled else None
            left = len(pulled)
            while left and not (control.stopping or self._closed):
                left -= control.reserve(left)
                time.sleep(_WAIT_S / 10 if left else 0)
            if batch is not None:
                self._prefetch(batch)
            if not self._wait_for_room():
                self._subscriber.cancel()

    def _within(self, pulled: Pulled) -> Pulled:
        """Those that are wanted. What is older is acknowledged, as a seek would; what is
        younger stays in the subscription, and is not handed out again for a while."""
        times = self._config.publish_times
        if times is None or not pulled:
            return pulled
        self._heard()
        younger = pulled.where(times.is_after).ack_ids
        try:
            self._subscriber.acknowledge(pulled.where(times.is_before).ack_ids, REQUEST_TIMEOUT_S)
            self._subscriber.modify_ack_deadline(younger, PARK_S, REQUEST_TIMEOUT_S)
            self._park(younger)
        except CommitError as error:
            _log.debug("%s; these messages come again", error)
        return pulled.where(times.__contains__)

    def _park(self, ack_ids: list[str]) -> None:
        """Remembers what is put off, until it comes again, with other ids."""
        now = self._clock()
        while self._parked and now - self._parked[0][0] > PARK_S:
            self._parked.popleft()
        self._parked.append((now, ack_ids))

    def _hold(self, pulled: Pulled) -> PubsubBatch:
        """From now on its leases are kept up."""
        self._heard()
        self._came_at = self._clock()
        message_ids = [record[3] for record in pulled.records]
        lease = self._leases.hold(pulled.ack_ids, message_ids)
        return PubsubBatch(lease, pulled.records, pulled.attempts)

    def _prefetch(self, batch: PubsubBatch) -> None:
        with self._changed:
            self._prefetched.append(batch)
            self._changed.notify_all()
