"""What both producers do alike when they flush."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from transforms.kafka.client import Failure
from transforms.records import KafkaRecord


class FlushingProducer(ABC):
    """Collects failures, and writes again what failed only because a broker refused another record
    of its batch.
    """

    def __init__(self) -> None:
        self._failures: list[Failure] = []
        self._again: list[KafkaRecord] = []

    @abstractmethod
    def produce(self, record: KafkaRecord) -> None:
        """See `Producer`."""

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
            for record in again:
                self.produce(record)
            self._await_all(deadline, timeout_s)
        failures, self._failures = self._failures, []
        return failures
