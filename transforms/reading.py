"""The loop behind every source: poll, claim, hand on, until the bundle is to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from apache_beam.io.iobase import RestrictionProgress

from transforms.record_batches import Poll
from transforms.registry import Bridge, BridgeConfig


class Bundle:
    """What one bundle has claimed; `finalize` is the bundle finalizer's callback.

    Args:
      confirm: told that the sinks have confirmed everything in this bundle.
    Attributes:
      payload_bytes: of all that is claimed.
      first_claim_at: `time.monotonic()` of the first claim that held anything.
      before: of the shard that was read before, in the same bundle of Beam.
    """

    def __init__(self, confirm: Callable[[Any], None]) -> None:
        self._confirm = confirm
        self.payload_bytes = 0
        self.first_claim_at: float | None = None
        self.before: Bundle | None = None

    def finalize(self) -> None:
        """The sinks have confirmed every record of this bundle."""
        self._confirm(self)

    def is_full(self, limits: BridgeConfig) -> bool:
        """Whether the bundle should end, so that what it holds can be committed."""
        return self.first_claim_at is not None and (
            time.monotonic() - self.first_claim_at >= limits.commit_interval_s
            or self.payload_bytes >= limits.bundle_bytes
        )

    def should_end(self, limits: BridgeConfig) -> bool:
        """Whether it is full, or one before it is, whose messages wait for the end of all."""
        before = self.before
        return self.is_full(limits) or (before is not None and before.should_end(limits))


class Batch(Protocol):
    """What one poll has found; empty if there was nothing within about 0.1 s."""

    @property
    def records(self) -> Sequence[Any]:
        """The elements to hand on."""

    @property
    def positions(self) -> Any:
        """What the restriction tracker is asked to grant before they are."""


class Reader(Protocol):
    """A session, as its source uses it."""

    @property
    def drained(self) -> bool:
        """Whether all that the run may take has been handed on."""

    @property
    def finished(self) -> bool:
        """Whether a finite source has been handed on to its end."""

    def poll(self) -> Any:
        """The next `Batch`; raises SourceError."""

    def claim(self, bundle: Any, batch: Any) -> None:
        """The tracker has granted the batch: it belongs to the bundle."""

    def unclaim(self, batch: Any) -> None:
        """The tracker has refused the batch: it is to be read again."""


def read_bundle(bridge: Bridge, session: Reader, bundle: Bundle, tracker: Any) -> Iterator[Poll]:
    """Yields the records of one bundle, poll by poll; ends the restriction or defers its rest.

    A tracker's `try_claim(None)` ends the restriction for good: a stop, or the end of a round.
    """
    control = bridge.control
    polled = False  # so that a shard whose turn is later has one
    while True:
        if session.drained:
            control.stop("--max_messages reached")
        if control.stopping or control.round_over or session.finished:
            tracker.try_claim(None)
            break
        if polled and bundle.should_end(bridge.config):
            tracker.defer_remainder()
            break
        with bridge.failing():
            bridge.health.check()
            batch: Batch = session.poll()
        polled = True
        if not tracker.try_claim(batch.positions):
            session.unclaim(batch)
            break
        if records := batch.records:
            session.claim(bundle, batch)
            yield Poll(bridge.not_delivered_before(records))
    control.bundle_done()
    bridge.counts.publish()


SHARDS_IN_NAME = r"\bin (\d+) shards?\b"
"""Finds the count in the name of such a step, or of a part of it."""


def in_shards(what: str, count: int) -> str:
    """The name of a step that reads in so many shards.

    A runner that updates a job takes a step over by its name, with what it has in flight, which is
    cut for that count: with another count it has to refuse.
    """
    return f"{what} in {count} shard{'s' if count > 1 else ''}"


def progress(ended: bool) -> RestrictionProgress:
    """Of a restriction that knows no more than whether it has ended.

    A fraction, since Beam puts its own measure in the place of the work that is completed, and that
    is NaN while it has not sampled an element: a runner's request to split would fail the bundle.
    """
    return RestrictionProgress(fraction=1.0 if ended else 0.5)
