"""Of which publish times a finite run reads messages. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.records import PubsubRecord

PARK_S = 600
"""For so long the service keeps back what is younger than the window; the most that it allows.
Source: https://cloud.google.com/pubsub/docs/lease-management"""


@dataclass(frozen=True)
class Window:
    """Publish times from `from_ms` on and before `to_ms`, in milliseconds since the epoch.

    Attributes:
      drained_after_s: after so many seconds without a message of it all are read: a subscription
        does not tell when it is empty.
    """

    from_ms: int
    to_ms: int
    drained_after_s: float

    def is_before(self, message: PubsubRecord) -> bool:
        """Whether a message is older than the window."""
        return (message.publish_time_ms or 0) < self.from_ms

    def is_after(self, message: PubsubRecord) -> bool:
        """Whether it is younger."""
        return (message.publish_time_ms or 0) >= self.to_ms

    def __contains__(self, message: PubsubRecord) -> bool:
        return not (self.is_before(message) or self.is_after(message))
