"""One shard's reading of Kafka: who owns a partition, how far it is read, what may be committed.

    poll -> claim -> (Beam: mapping, sink, finish_bundle) -> confirm -> commit

The session belongs to the process and is used by whichever DoFn instance Beam runs. The consumer is
touched only under the session's lock: by the thread that polls, or, while nobody polls, by the
finalizer's. So a commit never runs beside a rebalance.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transforms.kafka.client import (
    Consumer,
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    Partition,
)
from transforms.kafka.client_errors import part_names
from transforms.kafka.clients import open_consumer
from transforms.kafka.commits import Claim, Commits, KafkaBundle
from transforms.kafka.frontier import Frontier
from transforms.kafka.selection import KafkaSourceConfig, Shard
from transforms.records import KafkaRecord
from transforms.registry import Bridge

_log = logging.getLogger(__name__)

POLL_SLICE_S = 0.1
"""One poll waits no longer, so that stops and checkpoints are noticed."""

POLL_MAX_RECORDS = 500
"""Records of one poll; also Java's `max.poll.records`."""


@dataclass
class _Span:
    """What a poll has found of one partition; `seen`: where this process has been before."""

    first: int
    seen: int
    next_offset: int = 0
    records: int = 0
    again: int = 0


class KafkaBatch(NamedTuple):
    """The records of one poll, in order per partition. Implements `reading.Batch`."""

    records: list[KafkaRecord]
    spans: dict[Partition, _Span]
    payload_bytes: int

    @property
    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition in the batch."""
        return {partition: span.next_offset for partition, span in self.spans.items()}


class KafkaSession:
    """See the module. Implements `registry.Session`, `reading.Reader` and `RebalanceListener`."""

    def __init__(
        self,
        config: KafkaSourceConfig,
        shard: Shard,
        bridge: Bridge,
        open_consumer: Callable[[KafkaConfig, ConsumerConfig], Consumer] = open_consumer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._shard = shard
        self._bridge = bridge
        self._clock = clock
        self._lock = threading.RLock()
        self._epoch_numbers = itertools.count(1)
        self._epochs: dict[Partition, int] = {}
        self._next: dict[Partition, int] = {}
        self._seen: dict[Partition, int] = {}
        self._next_refresh = 0.0
        self._unclaimed = False
        self._consumer = open_consumer(config.kafka, config.consumer)
        self._commits = Commits(
            self._consumer, bridge.counts, config.bridge.commit_interval_s, clock
        )
        if config.assignment == "group":
            self._consumer.subscribe(config.topics, self)

    # Reading, called by the source's DoFn -----------------------------------------------------

    def begin(self, frontier: Frontier) -> KafkaBundle:
        """Starts a bundle at a frontier; without group protocol the frontier is the truth."""
        bundle = KafkaBundle(self.confirm)
        self._commits.open(bundle)
        if self._config.assignment == "shards":
            with self._lock:
                if frontier.positions.keys() - self._epochs.keys():
                    self._next_refresh = 0.0
                self._refresh_when_due(frontier.positions)
                at = self._next
                self._seek({p: to for p, to in frontier.positions.items() if at.get(p) != to})
        return bundle

    @property
    def drained(self) -> bool:
        return self._bridge.control.exhausted

    def poll(self) -> KafkaBatch:
        """Takes what is there, for at most `POLL_SLICE_S`; owned partitions only, none twice.

        Raises:
          SourceError: see `Consumer.poll`.
        """
        control = self._bridge.control
        reserved = control.reserve(POLL_MAX_RECORDS)
        if not reserved:
            time.sleep(POLL_SLICE_S / 10)
            return KafkaBatch([], {}, 0)
        taken = 0
        began = self._clock()
        try:
            with self._lock:
                self._commit()
                if self._config.assignment == "shards":
                    self._refresh_when_due({})
                batch = self._unread(self._consumer.poll(POLL_SLICE_S, reserved))
                taken = len(batch.records)
                self._unclaimed = taken > 0
                if taken or not self._epochs:
                    control.busy()
                else:
                    control.idled(self._clock() - began)
        finally:
            control.refund(reserved - taken)
        return batch

    def claim(self, bundle: KafkaBundle, batch: KafkaBatch) -> None:
        if bundle.first_claim_at is None:
            bundle.first_claim_at = self._clock()
        bundle.payload_bytes += batch.payload_bytes
        again = 0
        for partition, span in batch.spans.items():
            claim = bundle.claims.get(partition)
            if claim is None or claim.epoch != self._epochs[partition]:
                claim = bundle.claims[partition] = Claim(self._epochs[partition])
            claim.next_offset = span.next_offset
            claim.records += span.records
            again += span.again
            self._seen[partition] = max(span.next_offset, self._seen.get(partition, 0))
            self._bridge.first_offsets.setdefault(partition, span.first)
            self._bridge.last_offsets[partition] = self._seen[partition] - 1
        self._unclaimed = False
        counts = self._bridge.counts
        counts.add("read", len(batch.records))
        if again:
            counts.add("redelivered", again)
        if (timestamp_ms := batch.records[-1].timestamp_ms) is not None:
            counts.sample_read_delay(int(time.time() * 1000) - timestamp_ms)

    def unclaim(self, batch: KafkaBatch) -> None:
        self._bridge.control.refund(len(batch.records))
        with self._lock:
            self._seek({partition: span.first for partition, span in batch.spans.items()})
            self._unclaimed = False

    # Committing -------------------------------------------------------------------------------

    def confirm(self, bundle: KafkaBundle) -> None:
        """A bundle is delivered; commits at once unless a poll is under way, which does it then."""
        self._commits.confirm(bundle)
        if self._lock.acquire(blocking=False):
            try:
                self._commit()
            finally:
                self._lock.release()

    def _commit(self) -> None:
        self._commits.commit(self._epochs, all_claimed=not self._unclaimed)

    # Ownership, called back by the consumer inside `poll` ---------------------------------------

    def on_assigned(self, partitions: Sequence[Partition]) -> Offsets:
        committed = self._consumer.committed(partitions)
        begin = self._own(partitions, committed)
        _log.info("assigned %s", part_names(partitions))
        return begin

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        if self._bridge.flush_writers(self._config.bridge.revoke_timeout_s):
            self._commits.confirm_partitions(partitions)
        self._commits.retry_now()
        self._commit()
        _log.info("revoked %s", part_names(partitions))
        self._disown(partitions)

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        _log.warning(
            "lost %s: no heartbeat of this member got through; their new owner reads them again",
            part_names(partitions),
        )
        self._disown(partitions)

    def _own(self, partitions: Sequence[Partition], known: Offsets) -> dict[Partition, int]:
        """Starts an ownership of partitions: at a known offset, else at `--start`, else at the
        first one. A start that was not committed is committed, so that a restart does not move it.
        """
        unknown = [p for p in partitions if p not in known]
        first = self._consumer.watermarks([p for p in unknown if p not in self._config.start])
        begin = dict(known)
        for partition in partitions:
            epoch = self._epochs[partition] = next(self._epoch_numbers)
            if partition not in known:
                start = self._config.start.get(partition)
                begin[partition] = first[partition][0] if start is None else start
            self._next[partition] = begin[partition]
            self._commits.start(partition, epoch, begin[partition], partition in known)
        return {partition: begin[partition] for partition in partitions}

    def _disown(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._next.pop(partition, None)
        self._commits.release(partitions)

    def _refresh_when_due(self, positions: Offsets) -> None:
        """Without group protocol: looks for this shard's partitions; new ones begin at `positions`,
        else where the group or `--start` says."""
        if self._clock() < self._next_refresh:
            return
        self._next_refresh = self._clock() + self._config.consumer.metadata_interval_ms / 1000
        mine = [p for p in self._consumer.partitions(self._config.topics) if self._shard.owns(p)]
        gone = [p for p in self._epochs if p not in mine]
        new = [p for p in mine if p not in self._epochs]
        if new:
            known = {**self._consumer.committed(new), **positions}
            self._own(new, {p: at for p, at in known.items() if p in new})
        if new or gone:
            self._disown(gone)
            self._consumer.assign(dict(self._next))
            _log.info("assigned %s", part_names(mine))

    def _seek(self, positions: Mapping[Partition, int]) -> None:
        owned = {p: at for p, at in positions.items() if p in self._epochs}
        if owned:
            self._next.update(owned)
            self._consumer.seek(owned)

    def _unread(self, records: Sequence[Any]) -> KafkaBatch:
        """Leaves out records of partitions that were revoked during the poll, and repeats."""
        unread: list[KafkaRecord] = []
        spans: dict[Partition, _Span] = {}
        payload_bytes = 0
        for record in records:
            partition, offset = (record[0], record[1]), record[2]
            if offset < self._next.get(partition, offset + 1):
                continue
            self._next[partition] = offset + 1
            span = spans.get(partition)
            if span is None:
                span = spans[partition] = _Span(offset, self._seen.get(partition, 0))
            span.next_offset = offset + 1
            span.records += 1
            span.again += offset < span.seen
            payload_bytes += record.payload_bytes
            unread.append(record)
        return KafkaBatch(unread, spans, payload_bytes)

    # The process's view ---------------------------------------------------------------------------

    def lag(self) -> int | None:
        return self._consumer.lag() if self._epochs else None

    def close(self) -> None:
        with self._lock:
            self._commits.retry_now()
            try:
                self._commit()
            finally:
                self._disown(list(self._epochs))
                self._consumer.close()
            if self._commits.error is not None:
                raise self._commits.error
