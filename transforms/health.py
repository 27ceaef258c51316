"""Which services do not answer, since when and why: the state `degraded`.

An attempt that fails is repeated by whoever made it, and told to `Health`, which says so at growing
intervals, and raises when a service has not answered for longer than the bridge's patience.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from transforms.control import Clock
from transforms.errors import TransferError, UnavailableError
from transforms.metrics import Counts

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

Service = Literal["source", "destination", "commits"]
"""What a bridge uses, as people call it."""

SOURCE: Service = "source"
DESTINATION: Service = "destination"
COMMITS: Service = "commits"

SAY_AGAIN_S = (1.0, 30.0)
"""The same trouble is said again after the first of these, then after twice as long, up to the
second."""

_PAUSE_S = (0.2, 5.0)

STALLED_S = 3.0
"""A destination that has confirmed nothing for so long, of what waits for it, is in trouble."""

CALM_S = 2.0
"""A service that fails now and then is in trouble until it has not failed for so long."""

_LOOK_S = 1.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt: ever twice as long, up to 5."""
    pause_s, longest_s = _PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, longest_s)


@dataclass
class _Trouble:
    """A service that does not answer. Times are the clock's, in seconds."""

    since: float
    unanswered_since: float
    error: TransferError
    said_at: float
    last_at: float
    say_after_s: float = SAY_AGAIN_S[0]


class Health:
    """What one process knows of the services that its bridge uses; from any thread.

    Args:
      patience_s: how long a service may be in trouble before `check` raises.
      counts: gets `retries`.
      gives_up: asked between two attempts whether to go on.
    """

    def __init__(
        self,
        patience_s: float,
        counts: Counts,
        gives_up: Callable[[], bool],
        clock: Clock = time.monotonic,
    ) -> None:
        self._patience_s = patience_s
        self._counts = counts
        self._gives_up = gives_up
        self._clock = clock
        self._lock = threading.Lock()
        self._troubles: dict[Service, _Trouble] = {}
        self._degraded_since = 0.0
        self._degraded_before_s = 0.0

    def failed(self, service: Service, error: TransferError) -> None:
        """An attempt has failed, and is going to be repeated."""
        self._counts.add("retries")
        self.stalled(service, error)

    def stalled(self, service: Service, error: TransferError) -> None:
        """Nothing has failed, but an answer is overdue; `error` says which."""
        now = self._clock()
        with self._lock:
            trouble = self._troubles.get(service)
            if trouble is None:
                if not self._troubles:
                    self._degraded_since = now
                trouble = self._troubles[service] = _Trouble(now, now, error, now, now)
            elif now - trouble.said_at >= trouble.say_after_s:
                trouble.said_at = now
                trouble.say_after_s = min(2 * trouble.say_after_s, SAY_AGAIN_S[1])
            trouble.error, trouble.last_at = error, now
            new = trouble.said_at == now
            left_s = max(0.0, trouble.unanswered_since + self._patience_s - now)
        if new:
            _log.warning("degraded: %s; given up in %.0f s", error, left_s)

    def answered(self, service: Service) -> None:
        """The service does what it is asked to."""
        if service not in self._troubles:
            return
        now = self._clock()
        with self._lock:
            trouble = self._troubles.get(service)
            if trouble is None:
                return
            trouble.unanswered_since = now
            if now - trouble.last_at < CALM_S:
                return
            del self._troubles[service]
            if not self._troubles:
                self._degraded_before_s += now - self._degraded_since
        _log.info("%s: all is well again, after %.0f s", service, now - trouble.since)

    def dropped(self, service: Service) -> None:
        """Nothing is asked of the service any more: whatever its trouble was is not ours."""
        with self._lock:
            if self._troubles.pop(service, None) and not self._troubles:
                self._degraded_before_s += self._clock() - self._degraded_since

    def check(self) -> None:
        """Raises the last error of a service that has been in trouble for too long.

        Raises:
          TransferError: of the same class, with for how long.
        """
        if not self._troubles:
            return
        with self._lock:
            troubles = list(self._troubles.values())
        for trouble in troubles:
            waited_s = trouble.last_at - trouble.unanswered_since  # while nobody asks, nobody fails
            if waited_s >= self._patience_s:
                raise type(trouble.error)(
                    f"{trouble.error}; so for {waited_s:.0f} s "
                    f"(--delivery_timeout_s={self._patience_s:g})"
                )

    def insist(self, service: Service, ask: Callable[[], _Answer]) -> _Answer:
        """Asks until there is an answer.

        Raises:
          UnavailableError: there is none for too long, or the bridge is stopping.
        """
        for pause_s in pauses():
            try:
                return ask()
            except UnavailableError as error:
                self.failed(service, error)
                self.check()
                if self._gives_up():
                    raise
                time.sleep(pause_s)
        raise AssertionError("pauses do not end")

    @property
    def in_trouble(self) -> tuple[Service, ...]:
        """The services that do not answer now."""
        with self._lock:
            return tuple(sorted(self._troubles))

    @property
    def degraded_s(self) -> float:
        """Seconds, up to now, in which any service was in trouble."""
        with self._lock:
            now_s = self._clock() - self._degraded_since if self._troubles else 0.0
            return self._degraded_before_s + now_s


class StallWatch:
    """A thread that looks once a second whether what is in flight gets on.

    Args:
      progress: None where nothing is in flight; else a value that changes with each confirmation.
      stalled: tells the error of an answer that is overdue for so many seconds.
    """

    def __init__(
        self,
        health: Health,
        service: Service,
        progress: Callable[[], object],
        stalled: Callable[[float], TransferError],
        clock: Clock = time.monotonic,
    ) -> None:
        self._health = health
        self._service = service
        self._progress = progress
        self._stalled = stalled
        self._clock = clock
        self._last: object = None
        self._since = clock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self) -> None:
        """Compares with the last look."""
        now, progress = self._clock(), self._progress()
        if progress is None or progress != self._last:
            self._last, self._since = progress, now
            self._health.answered(self._service)
        elif now - self._since >= STALLED_S:
            self._health.stalled(self._service, self._stalled(now - self._since))

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.look()
