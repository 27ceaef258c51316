"""When a bridge stops, when a round ends, and how many messages it may take now. No Beam."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds that only grow, as `time.monotonic`."""


@dataclass(frozen=True)
class Bounds:
    """What bounds a run; None means no bound. Times in seconds, rates in messages a second."""

    max_messages: int | None = None
    max_seconds: float | None = None
    idle_seconds: float | None = None
    max_rate: float | None = None


@dataclass(frozen=True)
class Rounds:
    """When a round of the in-process runner ends: after `bundles`, but between these times."""

    min_seconds: float = 60.0
    max_seconds: float = 120.0
    bundles: int = 1_000


class Control:
    """Asked by a source before it takes anything; told by the runtime when to stop.

    Thread-safe. A source takes messages only against `reserve`, so that a run bounded to N
    messages never takes more than N from the service, prefetched ones included.
    """

    def __init__(self, bounds: Bounds, clock: Clock = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = False
        self._taken = 0
        self._started = clock()
        self._idle_s = 0.0
        self._tokens = 0.0
        self._tokens_at = clock()
        self._rounds: Rounds | None = None
        self._round_began = clock()
        self._round_bundles = 0
        self.stop_reason = ""

    def stop(self, reason: str) -> None:
        """Asks for a graceful stop; the first reason stays. Lock-free, for signal handlers."""
        if not self._stop:
            self.stop_reason = reason
            self._stop = True

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to be taken: asked to stop, or a bound is reached.

        Reserved messages of a run that has taken all it may are still to be claimed.
        """
        if self._stop:
            return True
        bounds, now = self._bounds, self._clock()
        if bounds.max_seconds is not None and now - self._started >= bounds.max_seconds:
            self.stop(f"--max_seconds={bounds.max_seconds:g} reached")
        elif bounds.idle_seconds is not None and self._idle_s >= bounds.idle_seconds:
            self.stop(f"--idle_seconds={bounds.idle_seconds:g} without a message")
        return self._stop

    @property
    def exhausted(self) -> bool:
        """Whether `max_messages` have been taken."""
        with self._lock:
            return (
                self._bounds.max_messages is not None and self._taken >= self._bounds.max_messages
            )

    def idled(self, seconds: float) -> None:
        """A source has asked for messages for so long, was answered, and there were none.

        Time in which the destination kept the source from asking does not count.
        """
        self._idle_s += seconds

    def busy(self) -> None:
        """Something was read, or nothing could be: the idle time begins anew."""
        self._idle_s = 0.0

    def reserve(self, wanted: int) -> int:
        """How many messages, of `wanted`, may be taken now; 0 asks to come back a little later."""
        bounds = self._bounds
        with self._lock:
            allowed = wanted
            if bounds.max_messages is not None:
                allowed = min(allowed, bounds.max_messages - self._taken)
            if bounds.max_rate is not None:
                now = self._clock()
                burst = max(1.0, bounds.max_rate / 10)
                earned = (now - self._tokens_at) * bounds.max_rate
                self._tokens, self._tokens_at = min(burst, self._tokens + earned), now
                allowed = min(allowed, int(self._tokens))
                self._tokens -= max(0, allowed)
            allowed = max(0, allowed)
            self._taken += allowed
            return allowed

    def refund(self, n: int) -> None:
        """Gives back what was reserved and not taken."""
        with self._lock:
            self._taken -= n
            if self._bounds.max_rate is not None:
                self._tokens += n

    def begin_round(self, rounds: Rounds) -> None:
        """Starts a round."""
        self._rounds = rounds
        self._round_began = self._clock()
        self._round_bundles = 0

    def bundle_done(self) -> None:
        """A bundle has ended."""
        self._round_bundles += 1

    @property
    def round_over(self) -> bool:
        """Whether sources should finish, so that the runtime can free memory and start anew."""
        if self._rounds is None:
            return False
        elapsed = self._clock() - self._round_began
        if elapsed < self._rounds.min_seconds:
            return False
        return elapsed >= self._rounds.max_seconds or self._round_bundles >= self._rounds.bundles
