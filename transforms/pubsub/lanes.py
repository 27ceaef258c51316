"""What waits to be published: a lane for each ordering key of each topic."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from transforms import limits
from transforms.pubsub.client import Wire
from transforms.records import PubsubRecord

BATCH_BYTES = 2_000_000
"""A batch is sent when it reaches this; a larger single message travels alone."""


class Pending(NamedTuple):
    """A message that is not confirmed yet, as it is sent and as it was given."""

    wire: Wire
    size_bytes: int
    record: PubsubRecord


@dataclass
class Lane:
    """What waits to be published to one topic under one ordering key; the empty key has no order.

    Attributes:
      name: what it is found by.
      topic: another one than the publisher's own.
      since: when its oldest message came, by the writer's clock.
      requests: under way.
    """

    name: Hashable
    topic: str
    ordered: bool
    since: float = 0.0
    requests: int = 0
    waiting: deque[Pending] = field(default_factory=deque)
    waiting_bytes: int = 0

    def add(self, item: Pending) -> bool:
        """Queues a message; says whether what waits makes a batch."""
        self.waiting.append(item)
        self.waiting_bytes += item.size_bytes
        return (
            self.waiting_bytes >= BATCH_BYTES
            or len(self.waiting) >= limits.PUBSUB_MAX_REQUEST_MESSAGES
        )

    @property
    def sendable(self) -> bool:
        """Whether a request may be sent now: one at a time where there is an order to keep."""
        return bool(self.waiting) and not (self.requests and self.ordered)

    def take(self, empty_bytes: int) -> list[Pending]:
        """The messages of the next request.

        Args:
          empty_bytes: of the request without them.
        """
        batch: list[Pending] = []
        size_bytes = empty_bytes
        while self.waiting and len(batch) < limits.PUBSUB_MAX_REQUEST_MESSAGES:
            item = self.waiting[0]
            if batch and size_bytes + item.size_bytes > limits.PUBSUB_MAX_REQUEST_BYTES:
                break
            batch.append(self.waiting.popleft())
            size_bytes += item.size_bytes
            self.waiting_bytes -= item.size_bytes
        return batch
