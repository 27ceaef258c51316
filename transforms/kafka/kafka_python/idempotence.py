"""What makes a kafka-python producer idempotent, and keeps it going.

The library numbers what it sends, and repeats a request whose answer was lost with the same
numbers, so that the broker knows it. That part is used as it is. Its keeping of the producer id is
not, since as of 3.0.12

- one refused record ends it: whatever else is under way or comes later fails as if it were refused
  itself, a batch of another partition that is written already too;
- a batch that was sent and expires leaves it without an id, and it never asks for another: later
  records are neither written nor fail;
- an id that is not given within the request timeout is never asked for again; and while it waits
  for a broker, or an id, nothing expires.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer, errors
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager
from kafka.protocol.producer import InitProducerIdRequest

_ASK_AGAIN_S = 0.1

_NOT_WRITTEN = (
    errors.CorruptRecordError,
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    errors.InvalidTopicError,
    errors.MessageSizeTooLargeError,
    errors.PolicyViolationError,
    errors.RecordListTooLargeError,
    errors.TopicAuthorizationFailedError,
)
"""What a broker answers before it writes anything of a batch."""


_NO_ID = (
    errors.AuthorizationError,
    errors.IncompatibleBrokerVersion,
    errors.UnsupportedVersionError,
)
"""What a request for an id fails with for good."""


class NoProducerIdError(errors.KafkaError):
    """The brokers give this producer no id, and will not if asked again."""

    def __str__(self) -> str:
        return str(self.args[0])


def make_idempotent(producer: KafkaProducer) -> None:
    """Makes idempotent what was opened with `enable_idempotence=False`, before its first record.

    (The library begins to ask for an id in the constructor, and cannot be stopped in time.)
    """
    accumulator, sender = producer._accumulator, producer._sender
    accumulator.expired_batches = _settling(accumulator.expired_batches, sender)
    sender._get_expired_inflight_batches = _settling(sender._get_expired_inflight_batches, sender)
    ids = _ProducerIds(producer)
    producer._transaction_manager = accumulator._transaction_manager = ids
    sender._transaction_manager = ids
    sender.wakeup()


_Expired = Callable[..., list[Any]]


def _settling(expired: _Expired, sender: Any) -> _Expired:
    """Fails expired batches where they are found: once the sender gets one that was sent, it does
    not send what it has just taken out of the queue."""

    def settle(now: float | None = None) -> list[Any]:
        for batch in expired(now=now):
            age_s = time.monotonic() - batch.created
            error = errors.KafkaTimeoutError(f"not confirmed within {age_s:.1f} s")
            sender._complete_batch_with_exception(batch, error)
        return []

    return settle


class _ProducerIds(TransactionManager):
    """One producer id after the other; the I/O thread calls all of it.

    A batch keeps the id and the numbers with which it was sent first. At most one batch of a
    partition is under way. After a refusal of what was sent once, its numbers are free again; where
    it is not known what was written, the next batches get a new id, whose numbers begin at 0.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        super().__init__(api_version=producer.config["api_version"], metadata=producer._metadata)
        self._client = producer._sender._client
        self._expire = (
            producer._accumulator.expired_batches,
            producer._sender._get_expired_inflight_batches,
        )
        self._asking = False
        self._ask_at = 0.0

    def init_producer_id(self) -> None:
        """Called over and over while there is no id; never waits."""
        for expire in self._expire:
            expire()
        if self.has_error() or self._asking or time.monotonic() < self._ask_at:
            return
        node = self._client.least_loaded_node()
        if node is None:
            return
        if not self._client.is_ready(node):  # else a request would wait beside others, and hang
            self._client.maybe_connect(node)
            return
        self._asking = True
        request = InitProducerIdRequest(
            transactional_id=None,
            transaction_timeout_ms=0,
            producer_id=-1,
            producer_epoch=-1,
            min_version=0,
            max_version=4,
        )
        self._client.send(node, request).add_both(self._on_answer)

    def _on_answer(self, answer: Any) -> None:
        self._asking = False
        error = answer if isinstance(answer, Exception) else errors.for_code(answer.error_code)()
        if isinstance(error, errors.NoError):
            self.set_producer_id_and_epoch(
                ProducerIdAndEpoch(answer.producer_id, answer.producer_epoch)
            )
        elif isinstance(error, _NO_ID):
            self.transition_to_fatal_error(
                NoProducerIdError(
                    f"no producer id, without which it would not be idempotent: {error}; allow "
                    "IdempotentWrite on the cluster (since Kafka 2.8 Write on any topic will do)"
                )
            )
        else:
            self._ask_at = time.monotonic() + _ASK_AGAIN_S

    def classify_batch_error(self, error: Any, batch: Any, log_start_offset: int = -1) -> Any:
        """What a batch that failed for good means for those that follow."""
        if isinstance(error, errors.ClusterAuthorizationFailedError):
            return self.ERROR_CLASS_FATAL
        if not batch.has_sequence or not self.producer_id_and_epoch.match(batch):
            return self.ERROR_CLASS_RETRIABLE  # never sent, or under an id that is gone: nothing
        if isinstance(error, _NOT_WRITTEN) and batch.attempts == 0:
            first, after = batch.base_sequence, self.sequence_number(batch.topic_partition)
            if after == first + batch.record_count:
                self.set_sequence_number(batch.topic_partition, first)
                return self.ERROR_CLASS_RETRIABLE
        return self.ERROR_CLASS_NEEDS_PRODUCER_ID_RESET

    def set_sequence_number(self, partition: Any, sequence: int) -> None:
        """Only ever back: the library splits a batch of an earlier id as if it were of this one."""
        super().set_sequence_number(partition, min(sequence, self.sequence_number(partition)))

    def last_acked_offset(self, _partition: Any) -> int:
        """So high that the library does not begin a partition's numbers again while it repeats a
        batch with the old ones; `classify_batch_error` decides instead."""
        return (1 << 63) - 1
