"""What waits to be published: a lane for each ordering key of each topic."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from transforms import limits
from transforms.pubsub.client import Wire, size_bytes, to_wire
from transforms.records import PubsubRecord

_new = tuple.__new__  # of all fields: half of what the constructor takes

BATCH_BYTES = 2_000_000
"""A batch is sent when it reaches this; a larger single message travels alone."""


class Pending(NamedTuple):
    """A message that is not confirmed yet, as it is sent and as it was given."""

    wire: Wire
    size_bytes: int
    record: PubsubRecord


def pending_of(records: Iterable[PubsubRecord]) -> list[Pending]:
    """Messages that are to be published."""
    found = []
    for record in records:
        wire = to_wire(record)
        found.append(_new(Pending, (wire, size_bytes(wire), record)))
    return found


@dataclass
class Lane:
    """What waits to be published to one topic under one ordering key; the empty key has no order.

    Attributes:
      topic: empty for the publisher's own.
      since: when its oldest message came, by the writer's clock.
      requests: under way.
    """

    topic: str
    ordering_key: str
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
        return bool(self.waiting) and not (self.requests and self.ordering_key)

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
