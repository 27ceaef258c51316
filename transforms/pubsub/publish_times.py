"""Of which publish times a finite run reads messages, and when it has read them all. No service."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.records import PubsubRecord

PARK_S = 60
"""For so long the service keeps back what is younger than wanted, unless the run gives it back
before. A run that goes on after one that was killed waits longer than this for what it may want."""


@dataclass(frozen=True)
class PublishTimes:
    """Those from `from_ms` on and before `to_ms`, in milliseconds since the epoch.

    Attributes:
      empty_after_s: after so many seconds without a message of them all are read: a subscription
        does not tell when it is empty.
    """

    from_ms: int
    to_ms: int
    empty_after_s: float

    def is_before(self, message: PubsubRecord) -> bool:
        """Whether a message is older than these."""
        return (message.publish_time_ms or 0) < self.from_ms

    def is_after(self, message: PubsubRecord) -> bool:
        """Whether it is younger."""
        return (message.publish_time_ms or 0) >= self.to_ms

    def __contains__(self, message: PubsubRecord) -> bool:
        return not (self.is_before(message) or self.is_after(message))


class EmptyCheck:
    """Whether a subscription is empty: by pulls that were answered with nothing that is wanted.

    Time in which nobody pulls (the rate is held down, the destination is slow, this process is
    stopped) proves nothing. Nor does silence: at the end the service is asked whether it is there,
    and pulled from once more.

    Attributes:
      needed_s: so many seconds of empty pulls.
      is_over: it is empty.
    """

    def __init__(self, times: PublishTimes) -> None:
        self.needed_s = times.empty_after_s
        self._empty_s = 0.0
        self._answered = False
        self.is_over = False

    def pulled(self, wanted: int, seconds: float, longest_s: float) -> None:
        """A pull has ended.

        Args:
          wanted: messages of the publish times that it has brought.
          seconds: how long it took; no more counts than `longest_s`, for which it would wait.
        """
        if wanted:
            self.begin_anew()
            return
        self.is_over = self._answered
        self._empty_s += min(seconds, longest_s)

    @property
    def must_ask(self) -> bool:
        """Whether it is time to ask the service."""
        return self._empty_s >= self.needed_s and not self._answered

    def answered(self) -> None:
        """The service is there; one more empty pull, and all is read."""
        self._answered = True

    def begin_anew(self) -> None:
        """There was something, or trouble."""
        self._empty_s, self._answered = 0.0, False
