"""What both producers do alike when they flush."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from transforms.kafka.client import Failure
from transforms.records import KafkaRecord


class FlushingProducer(ABC):
    """Collects failures, and writes again what failed only because a broker refused another record
    of its batch.

    Where the broker does not say which record it means, all of the batch are suspects: each is
    written again alone, and what is refused alone is refused.
    """

    def __init__(self) -> None:
        self._failures: list[Failure] = []
        self._again: list[KafkaRecord] = []
        self._suspects: list[KafkaRecord] = []
        self._alone = False
        self._handed_over = 0

    @abstractmethod
    def produce(self, records: Sequence[KafkaRecord]) -> None:
        """See `Producer`."""

    @abstractmethod
    def in_flight(self) -> int:
        """See `Producer`."""

    @property
    def confirmed(self) -> int | None:
        in_flight = self.in_flight()
        return self._handed_over - in_flight if in_flight else None

    @abstractmethod
    def _await_all(self, deadline: float, timeout_s: float) -> None:
        """Waits until every record is confirmed, failed, or to be written again.

        Args:
          deadline: when to give up, on the monotonic clock.
          timeout_s: how long the whole flush may take, for the message.
        Raises:
          DeliveryError: records are still in flight at the deadline.
        """

    def flush(self, timeout_s: float) -> list[Failure]:
        deadline = time.monotonic() + timeout_s
        self._await_all(deadline, timeout_s)
        while self._again:
            again, self._again = self._again, []
            self.produce(again)
            self._await_all(deadline, timeout_s)
        self._try_alone(deadline, timeout_s)
        failures, self._failures = self._failures, []
        return failures

    def _try_alone(self, deadline: float, timeout_s: float) -> None:
        suspects, self._suspects = self._suspects, []
        self._alone = True
        try:
            while suspects:
                self.produce([suspects.pop(0)])
                self._await_all(deadline, timeout_s)
        finally:
            self._alone = False
            self._suspects = suspects
