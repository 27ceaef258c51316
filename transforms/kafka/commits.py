"""What bundles have claimed, what sinks have confirmed of it, and which of that is committed.

    open(bundle) -> confirm(bundle) -> commit()

`confirm` may come from any thread; all else belongs to the holder of the session's lock. An
ownership of a partition has a number, its epoch: what was claimed in one is never committed in
another, since the partition's owner in between may have got further.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from transforms.control import Clock
from transforms.errors import CommitError
from transforms.health import COMMITS, Health
from transforms.kafka.client import Offsets, OffsetStore, Partition
from transforms.metrics import Counts
from transforms.reading import Bundle
from transforms.registry import BridgeConfig

COMMIT_RETRY_S = 5.0
"""A commit that failed is tried again with the next bundle, or after this."""

Describe = Callable[[Partition], str]
"""The text that is committed with a partition's offset."""

Positions = Callable[[], Offsets]
"""The next offset to read of each partition, as far as it is wanted, without asking a broker."""

Epochs = Mapping[Partition, int]
"""The partitions owned now, and the number of that ownership."""


@dataclass
class Claim:
    """What a bundle has claimed of one partition, in one uninterrupted ownership of it."""

    epoch: int
    first_offset: int
    next_offset: int = 0
    records: int = 0


class KafkaBundle(Bundle):
    """What one bundle has claimed of each partition."""

    def __init__(self, confirm: Callable[[KafkaBundle], None]) -> None:
        super().__init__(confirm)
        self.claims: dict[Partition, Claim] = {}
        self.is_awaited = False

    def is_full(self, limits: BridgeConfig) -> bool:
        return self.is_awaited or super().is_full(limits)


class Commits:
    """Keeps the claims of open bundles, and commits what is confirmed.

    Args:
      interval_s: how often partitions are looked at whose end is no record.
    Attributes:
      error: why the last commit failed; None once a later one has succeeded, or what it was about
        belongs to others.
    """

    def __init__(
        self,
        store: OffsetStore,
        positions: Positions,
        counts: Counts,
        health: Health,
        describe: Describe,
        interval_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._positions = positions
        self._counts = counts
        self._health = health
        self._describe = describe
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._open: list[KafkaBundle] = []
        self._confirmed: dict[tuple[Partition, int], int] = {}
        self._committed: dict[Partition, int] = {}
        self._retry_at = 0.0
        self._catch_up_at = 0.0
        self.error: CommitError | None = None

    def open(self, bundle: KafkaBundle, at: Offsets, epochs: Epochs) -> dict[Partition, int]:
        """A bundle has begun. What open ones have claimed from where it begins has failed: the
        runner repeats them.

        Args:
          at: where it begins; a partition that is missing was not read before.
        Returns:
          Where that begins which is to be read again.
        """
        with self._lock:
            repeated = [
                (partition, other.claims.pop(partition))
                for other in self._open
                for partition, claim in list(other.claims.items())
                if claim.epoch == epochs.get(partition)
                and claim.first_offset >= at.get(partition, 0)
            ]
            if repeated:
                self._open = [other for other in self._open if other.claims]
            self._open.append(bundle)
        self._count_released(claim for _, claim in repeated)
        again: dict[Partition, int] = {}
        for partition, claim in repeated:
            again[partition] = min(claim.first_offset, again.get(partition, claim.first_offset))
        return again

    def confirm(self, bundle: KafkaBundle) -> None:
        """A bundle's records are all delivered."""
        with self._lock:
            for partition, claim in bundle.claims.items():
                self._confirm(partition, claim)
            if bundle in self._open:
                self._open.remove(bundle)
        self.retry_now()

    def confirm_partitions(self, partitions: Iterable[Partition]) -> None:
        """What open bundles have claimed of these partitions so far is delivered."""
        with self._lock:
            for partition, claim in self._take_claims(partitions):
                self._confirm(partition, claim)
        self.retry_now()

    def start(self, partition: Partition, epoch: int, offset: int, committed: bool) -> None:
        """An ownership begins; an offset that was not committed is, so that it stays the start."""
        self._committed[partition] = offset
        if not committed:
            with self._lock:
                self._confirmed[partition, epoch] = offset

    def awaits(self, partition: Partition, epoch: int | None) -> bool:
        """Whether something that was claimed in this ownership of a partition is not confirmed."""
        awaited = False
        with self._lock:
            for bundle in self._open:
                claim = bundle.claims.get(partition)
                if claim is not None and claim.epoch == epoch:
                    awaited = bundle.is_awaited = True
        return awaited

    def release(self, partitions: Iterable[Partition]) -> None:
        """Counts what was claimed of these partitions and not confirmed: others read it again."""
        with self._lock:
            claims = self._take_claims(partitions)
        self._count_released(claim for _, claim in claims)

    def retry_now(self) -> None:
        """The next `commit` waits for no failed one's time, and looks at all partitions."""
        self._retry_at = self._catch_up_at = 0.0

    def commit(self, epochs: Epochs, all_claimed: bool) -> None:
        """Commits what is confirmed of the partitions owned now; a failure is kept in `error`.

        Args:
          all_claimed: whether everything that was polled is claimed, so that positions count.
        """
        if self._clock() < self._retry_at:
            return
        with self._lock:
            confirmed = dict(self._confirmed)
        offsets = {p: at for (p, epoch), at in confirmed.items() if epochs.get(p) == epoch}
        if all_claimed and (offsets or self._clock() >= self._catch_up_at):
            offsets |= self._caught_up(epochs, offsets)
        if offsets:
            try:
                self._store.commit(offsets, {p: self._describe(p) for p in offsets})
            except CommitError as error:
                self._health.failed(COMMITS, error)
                self._counts.add("commit_failures")
                self.error = error
                self._retry_at = self._clock() + COMMIT_RETRY_S
                return
            self._committed.update(offsets)
            self._health.answered(COMMITS)
        else:
            self._health.dropped(COMMITS)
        self.error = None
        with self._lock:
            for owned, offset in confirmed.items():
                if self._confirmed.get(owned) == offset:
                    del self._confirmed[owned]

    def _caught_up(self, epochs: Epochs, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """Positions beyond the last confirmed record, where nothing read is still unconfirmed.

        Transaction markers and compacted offsets at the end of a partition are no records: without
        this its group would lag for ever, and would be lost once retention has passed them.
        """
        self._catch_up_at = self._clock() + self._interval_s
        with self._lock:
            unconfirmed = {partition for bundle in self._open for partition in bundle.claims}
        return {
            partition: at
            for partition, at in self._positions().items()
            if partition in epochs
            and partition not in unconfirmed
            and at > max(self._committed[partition], offsets.get(partition, 0))
        }

    def _count_released(self, claims: Iterable[Claim]) -> None:
        if released := sum(claim.records for claim in claims):
            self._counts.add("released", released)

    def _confirm(self, partition: Partition, claim: Claim) -> None:
        owned = (partition, claim.epoch)
        self._confirmed[owned] = max(claim.next_offset, self._confirmed.get(owned, 0))

    def _take_claims(self, partitions: Iterable[Partition]) -> list[tuple[Partition, Claim]]:
        return [
            (partition, bundle.claims.pop(partition))
            for partition in partitions
            for bundle in self._open
            if partition in bundle.claims
        ]
