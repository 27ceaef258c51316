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
from dataclasses import dataclass, field
from typing import Any, Literal

from transforms.errors import OffsetGapError, UnavailableError
from transforms.health import SOURCE
from transforms.kafka import topic_ids
from transforms.kafka.batches import KafkaBatch, batch_of
from transforms.kafka.beginnings import beginnings
from transforms.kafka.client import (
    Admin,
    Consumer,
    ConsumerConfig,
    KafkaConfig,
    Offsets,
    OffsetStore,
    Partition,
)
from transforms.kafka.client_errors import part_names, topic_deleted
from transforms.kafka.clients import open_admin, open_consumer
from transforms.kafka.commits import Claim, Commits, KafkaBundle
from transforms.kafka.frontier import Frontier
from transforms.kafka.night_end import NightEnd
from transforms.kafka.remaining import Remaining
from transforms.kafka.selection import Selection, Shard
from transforms.kafka.topic_watch import TopicWatch
from transforms.ranges import Ranges
from transforms.records import KafkaRecord
from transforms.registry import Bridge, BridgeConfig

_log = logging.getLogger(__name__)

POLL_SLICE_S = 0.1
"""One poll waits no longer, so that stops and checkpoints are noticed."""

SILENCE_S = 3.0
"""After so long without a record the brokers are asked whether they are there at all."""

_ASK_TIMEOUT_S = 3.0

POLL_MAX_RECORDS = 500
"""Records of one poll; also Java's `max.poll.records`."""


@dataclass(frozen=True)
class KafkaSourceConfig:
    """What a Kafka source reads, and how; picklable.

    Attributes:
      topics: names, among them templates with a date, or one `^regex`.
      start: resolved `--start`: where partitions without a committed offset begin; those not in it
        begin at their first offset.
      assignment: who owns a partition: the consumer group protocol, or the shard's number.
      on_offset_gap: what follows when offsets are gone that should be read next: an error, or a
        continuation that is counted.
      ranges: the offsets that are read, which makes the source finite; None for all there will be.
      state: URL of the file that remembers how far it is, in place of the group's commits.
      change_hour, days_back: which nights such templates mean, as in `Selection`.
      stops_at_night_end: the run ends when the night in which it began is over and read.
    """

    bridge: BridgeConfig
    kafka: KafkaConfig
    consumer: ConsumerConfig
    topics: tuple[str, ...]
    start: Offsets = field(default_factory=dict)
    assignment: Literal["group", "shards"] = "group"
    shards: int = 1
    on_offset_gap: Literal["fail", "continue"] = "fail"
    ranges: Mapping[Partition, Ranges] | None = None
    state: str = ""
    change_hour: int = 0
    days_back: int = 2
    stops_at_night_end: bool = False

    def selection(self) -> Selection:
        """Which topics these are, from now on by the clock."""
        selection = Selection(self.topics, self.change_hour, self.days_back)
        return selection.until_tonight() if self.stops_at_night_end else selection


class KafkaSession:
    """See the module. Implements `registry.Session`, `reading.Reader` and `RebalanceListener`."""

    def __init__(
        self,
        config: KafkaSourceConfig,
        shard: Shard,
        bridge: Bridge,
        open_consumer: Callable[[KafkaConfig, ConsumerConfig], Consumer] = open_consumer,
        open_admin: Callable[[KafkaConfig, float], Admin] = open_admin,
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
        self._granted: dict[Partition, int] = {}
        self._seen: dict[Partition, int] = {}
        self._lags: dict[Partition, int] = {}
        self._metadata_interval_s = config.consumer.metadata_interval_ms / 1000
        self._next_refresh = 0.0
        self._heard_at = clock()
        self._asked = 0
        self._unclaimed = False
        self._consumer = open_consumer(config.kafka, config.consumer)
        self._store = _store(config, self._consumer)
        self._remaining = self._all_of_it()
        self._done: dict[Partition, int] = {}
        self._left: int | None = None
        self._record_bytes = 1.0
        self._topics = topic_ids.TopicIds(
            config.kafka,
            self._metadata_interval_s,
            config.consumer.request_timeout_s,
            open_admin,
            clock,
        )
        self._commits = Commits(
            self._store,
            self._positions,
            bridge.counts,
            bridge.health,
            lambda partition: topic_ids.to_metadata(self._topics.known.get(partition[0], "")),
            config.bridge.commit_interval_s,
            clock,
        )
        self._selection = config.selection()
        self._selected: Sequence[str] = ()
        pace = (self._metadata_interval_s, clock)
        self._watch = TopicWatch(self._selection, self._consumer, bridge.counts, *pace)
        self._night_end = NightEnd(self._selection, self._consumer, *pace)
        self._select()

    def _select(self) -> None:
        """Takes up what is selected by now, if that has changed: another night has begun."""
        if (topics := self._selection.now()) != self._selected:
            self._selected = topics
            self._next_refresh = 0.0
            self._watch.soon()
            if self._config.assignment == "group":
                self._consumer.subscribe(topics, self)

    def _keep_up(self) -> None:
        """Follows the nights, closes what has gone, and stops when the last night is read."""
        self._select()
        self._watch.look(self._epochs)
        topics = self._night_end.read_to_end(self._epochs, self._lags)
        if topics is not None:
            self._watch.close_read(topics)
            self._bridge.control.stop(self._night_end.stop_reason)

    # Reading, called by the source's DoFn -----------------------------------------------------

    def begin(self, frontier: Frontier) -> KafkaBundle:
        """Starts a bundle at a frontier; without group protocol the frontier is the truth. One that
        is repeated is read again from where it began."""
        bundle = KafkaBundle(self.confirm)
        with self._lock:
            if self._unclaimed:  # a poll has failed, or what it brought was lost
                self._seek({p: at for p, at in self._next.items() if p not in self._done})
                self._unclaimed = False
            again = self._commits.open(bundle, frontier.positions, self._epochs)
            if self._config.assignment == "shards":
                self._bridge.health.insist(SOURCE, lambda: self._go_to(frontier, again))
            else:
                self._go_back(again)
        return bundle

    @property
    def drained(self) -> bool:
        return self._bridge.control.exhausted

    @property
    def finished(self) -> bool:
        return self._remaining is not None and not self._remaining.partitions

    def poll(self) -> KafkaBatch:
        """Takes what is there, for at most `POLL_SLICE_S`; owned partitions only, none twice.

        Raises:
          OffsetGapError: offsets that should be read next are gone, unless `on_offset_gap` says to
            go on.
          SourceError: see `Consumer.poll`; that the brokers cannot answer now is no error here.
        """
        control = self._bridge.control
        reserved = control.reserve(POLL_MAX_RECORDS)
        if not reserved:
            time.sleep(POLL_SLICE_S / 10)
            return self._unread([])
        taken = 0
        began = self._clock()
        try:
            with self._lock:
                batch = self._unread(self._take(reserved))
                taken = len(batch.records)
                self._unclaimed = taken > 0
                if taken or not self._epochs or self._watch.awaits:
                    control.busy()
                elif SOURCE not in self._bridge.health.in_trouble:
                    control.idled(self._clock() - began)
        except BaseException:
            self._unclaimed = True  # positions may be past what nobody has got
            raise
        finally:
            control.refund(reserved - taken)
        return batch

    def _take(self, max_records: int) -> Sequence[KafkaRecord]:
        """What the consumer has; nothing while the brokers do not answer, or after a gap."""
        try:
            self._commit()
            if self._remaining is None:
                self._keep_up()
            if self._epochs and self._topics.due():
                self._look_for_changed_topics()
            if self._config.assignment == "shards":
                self._refresh_when_due(Frontier())
            if self._remaining is not None:
                self._pass_what_is_read(self._remaining)
                if self.finished:
                    return []
            try:
                records = self._consumer.poll(POLL_SLICE_S, max_records)
            except OffsetGapError as gap:
                self._go_on_after(gap)
                return []
            self._lags = self._consumer.lags() or self._lags
            if records:
                self._heard()
            else:
                self._ask_after_silence()
        except UnavailableError as error:
            self._bridge.health.failed(SOURCE, error)
            time.sleep(POLL_SLICE_S)
            return []
        return records

    def _pass_what_is_read(self, remaining: Remaining) -> None:
        """Leaves the ranges that are read; a partition that has no more is not fetched any more."""
        positions = self._consumer.positions()
        done, far = remaining.advance(positions)
        if done:
            self._done |= {part: remaining.capped(part, positions[part]) for part in done}
            self._consumer.assign({p: at for p, at in self._next.items() if p not in self._done})
            _log.debug("read to the end: %s", part_names(done))
        self._seek(far)
        self._left = remaining.count(positions, remaining.partitions)

    def _positions(self) -> Offsets:
        positions = self._consumer.positions()
        if self._remaining is None:
            return positions
        return {p: self._remaining.capped(p, at) for p, at in {**positions, **self._done}.items()}

    def _heard(self) -> None:
        self._heard_at = self._clock()
        self._bridge.health.answered(SOURCE)

    def _ask_after_silence(self) -> None:
        """A poll that returns nothing looks the same whether there is nothing or nobody; asks for
        one partition after the other, and for one that does not answer until it does."""
        in_trouble = SOURCE in self._bridge.health.in_trouble
        if self._clock() - self._heard_at < (POLL_SLICE_S if in_trouble else SILENCE_S):
            return
        if self._epochs:
            owned = list(self._epochs)
            self._consumer.watermarks([owned[self._asked % len(owned)]], _ASK_TIMEOUT_S)
        else:
            self._look_for_topics()
        self._asked += 1
        self._heard()

    def _look_for_topics(self) -> None:
        names = set(self._selection.required)
        found = {topic for topic, _ in self._consumer.partitions(self._selected)}
        if names - found:
            raise UnavailableError(f"read {min(names - found)}: there is no such topic any more")

    def claim(self, bundle: KafkaBundle, batch: KafkaBatch) -> None:
        if bundle.first_claim_at is None:
            bundle.first_claim_at = self._clock()
        bundle.payload_bytes += batch.payload_bytes
        self._record_bytes = batch.payload_bytes / len(batch.records)
        again = 0
        for partition, span in batch.spans.items():
            claim = bundle.claims.get(partition)
            if claim is None or claim.epoch != self._epochs[partition]:
                claim = bundle.claims[partition] = Claim(self._epochs[partition], span.first)
            claim.next_offset = self._granted[partition] = span.next_offset
            claim.records += span.records
            again += span.again
            self._watch.claimed(partition, span.first, span.next_offset, span.records)
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
        begin = self._bridge.health.insist(SOURCE, lambda: self._own(partitions, Frontier()))
        _log.info("assigned %s", part_names(partitions))
        return begin

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        if self._bridge.flush_writers(self._config.bridge.revoke_timeout_s):
            self._commits.confirm_partitions(partitions)
        self._commits.retry_now()
        self._commit()
        _log.info("revoked %s", part_names(partitions))
        self._part_from(partitions)

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        _log.warning(
            "lost %s: no heartbeat of this member got through; their new owner reads them again",
            part_names(partitions),
        )
        self._part_from(partitions)

    def _own(self, partitions: Sequence[Partition], frontier: Frontier) -> dict[Partition, int]:
        """Starts an ownership of partitions; returns where each begins. An offset that was not
        committed is, so that a restart does not move it.

        Raises:
          UnavailableError: the brokers cannot tell all that is needed; nothing has changed.
          OffsetGapError: an offset is of a topic that was deleted, which `on_offset_gap` makes an
            error.
        """
        ids = self._topics.ask({topic for topic, _ in partitions})
        committed = self._store.committed(partitions)
        found = beginnings(
            partitions, frontier, committed, self._config.start, self._topics.at_first, ids
        )
        unknown = [part for part, beginning in found.items() if beginning.offset is None]
        first = {part: marks[0] for part, marks in self._consumer.watermarks(unknown).items()}
        for part, beginning in found.items():
            if beginning.outdated is not None:
                self._count(topic_deleted(part, beginning.outdated, None, first[part]))
        for part in partitions:
            if topic_ids.differ(ids.get(part[0], ""), self._topics.known.get(part[0], "")):
                self._seen.pop(part, None)
        self._topics.begin(ids)
        begin = {p: first[p] if b.offset is None else b.offset for p, b in found.items()}
        for part, offset in begin.items():
            self._begin(part, offset, found[part].committed)
        return begin

    def _begin(self, partition: Partition, offset: int, committed: bool) -> None:
        epoch = self._epochs[partition] = next(self._epoch_numbers)
        self._next[partition] = self._granted[partition] = offset
        self._commits.start(partition, epoch, offset, committed)

    def _part_from(self, partitions: Sequence[Partition]) -> None:
        """Gives partitions away, unless they go because their topic was deleted: then nobody will
        read what is unread."""
        at, lags = dict(self._next), self._lags
        self._disown(partitions)
        self._watch.parted({part: lags.get(part) for part in partitions})
        unread = [
            part for part in partitions if lags.get(part) != 0 and self._selection.holds(part[0])
        ]
        if not unread:
            return
        try:
            deleted = self._topics.deleted({topic for topic, _ in unread})
        except UnavailableError as error:
            _log.debug("%s", error)
            return
        for part in unread:
            if part[0] in deleted:
                self._count(topic_deleted(part, at[part], lags.get(part)))

    def _disown(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._next.pop(partition, None)
            self._granted.pop(partition, None)
        self._commits.release(partitions)

    def _go_to(self, frontier: Frontier, again: Offsets) -> None:
        """Without group protocol: stands where the runner's checkpoint says, and of what that does
        not know yet where it is to be read again."""
        positions = frontier.positions
        if any(self._selection.holds(topic) for topic, _ in positions.keys() - self._epochs.keys()):
            self._next_refresh = 0.0
        self._refresh_when_due(frontier)
        ids, known = frontier.topic_ids, self._topics.known
        back = {
            part: to
            for part, to in positions.items()
            if self._granted.get(part) != to
            and not topic_ids.differ(ids.get(part[0], ""), known.get(part[0], ""))
        }
        self._go_back({**again, **back})

    def _go_back(self, back: Offsets) -> None:
        if not back:
            return
        if self._remaining is not None:
            self._remaining = self._all_of_it()
            self._done.clear()
            self._consumer.assign(dict(self._next))
        self._seek(back)
        self._granted.update({part: to for part, to in back.items() if part in self._epochs})
        self._unclaimed = False

    def _all_of_it(self) -> Remaining | None:
        """What a finite run reads of this shard's partitions."""
        ranges = self._config.ranges
        if ranges is None:
            return None
        return Remaining({part: found for part, found in ranges.items() if self._shard.owns(part)})

    def _refresh_when_due(self, frontier: Frontier) -> None:
        """Without group protocol: looks for this shard's partitions; new ones begin at the
        frontier, else where the group or `--start` says."""
        if self._clock() < self._next_refresh:
            return
        mine = self._mine()
        gone = [p for p in self._epochs if p not in mine]
        new = [p for p in mine if p not in self._epochs]
        if gone:
            self.on_revoked(gone)
        if new:
            self._own(new, frontier)
        if new or gone:
            self._consumer.assign(dict(self._next))
            _log.info("assigned %s", part_names(mine))
        self._next_refresh = self._clock() + self._metadata_interval_s

    def _mine(self) -> list[Partition]:
        """The partitions of this shard: of a finite run those that it is about, else all."""
        if self._remaining is not None:
            return [*self._remaining.partitions, *self._done]
        return [p for p in self._consumer.partitions(self._selected) if self._shard.owns(p)]

    # Gaps ---------------------------------------------------------------------------------------

    def _look_for_changed_topics(self) -> None:
        """Notices topics that were deleted, or deleted and made again, since they were begun."""
        made_anew, gone = self._topics.changes({topic for topic, _ in self._epochs})
        parts = [p for p in self._epochs if p[0] in made_anew]
        first = self._consumer.watermarks(parts)
        at, lags = self._next, self._lags
        gaps = [topic_deleted(p, at[p], lags.get(p), first[p][0]) for p in parts]
        gaps += [
            topic_deleted(p, at[p], lags[p]) for p in self._epochs if p[0] in gone and lags.get(p)
        ]
        for gap in gaps:
            self._count(gap)
        self._topics.begin(made_anew)
        for gap in gaps:
            self._resume(gap)

    def _go_on_after(self, gap: OffsetGapError) -> None:
        """Goes on behind a gap that a poll has found, if `on_offset_gap` says so; where it goes on
        is committed at once, so that all before the gap has to be delivered. Until then polls find
        the gap again."""
        part = (gap.topic, gap.partition)
        epoch = self._epochs.get(part)
        if self._config.on_offset_gap == "continue" and self._commits.awaits(part, epoch):
            self._bridge.control.busy()
            time.sleep(POLL_SLICE_S)
            return
        self._look_for_changed_topics()  # which may be what the gap comes from
        if self._epochs.get(part) != epoch:
            return
        self._count(gap)
        self._resume(gap)

    def _resume(self, gap: OffsetGapError) -> None:
        part = (gap.topic, gap.partition)
        if part in self._epochs:
            granted = self._granted.get(part)  # a checkpoint says so until something is claimed
            self._seen.pop(part, None)
            self._begin(part, gap.resume, committed=False)
            if granted is not None:
                self._granted[part] = granted
            self._seek({part: gap.resume})

    def _count(self, gap: OffsetGapError) -> None:
        if self._config.on_offset_gap == "fail":
            raise gap
        lost = gap.end - gap.first
        if self._config.ranges is not None:
            wanted = self._config.ranges.get((gap.topic, gap.partition), Ranges())
            lost = wanted.between(gap.first, gap.end).count
        self._bridge.counts.add("offsets_lost", lost)
        _log.warning("%s; going on from %d, as --on_offset_gap says", gap.what, gap.resume)

    def _seek(self, positions: Mapping[Partition, int]) -> None:
        owned = {p: at for p, at in positions.items() if p in self._epochs}
        if owned:
            self._next.update(owned)
            self._consumer.seek(owned)

    def _unread(self, records: Sequence[Any]) -> KafkaBatch:
        wants = self._remaining.wants if self._remaining is not None else None
        return batch_of(records, self._next, self._seen, self._topics.known, wants)

    # The process's view ---------------------------------------------------------------------------

    def lag(self) -> int | None:
        if self._remaining is not None:
            return self._left
        lags = self._consumer.lags() if self._epochs else None
        return None if lags is None else sum(lags.values())

    def backlog_bytes(self) -> float | None:
        """What is not read yet, if it is like what was read last; None while unknown."""
        lag = self.lag()
        return None if lag is None else lag * self._record_bytes

    def close(self) -> None:
        with self._lock:
            self._commits.retry_now()
            try:
                self._commit()
            finally:
                self._disown(list(self._epochs))
                self._consumer.close()
                self._topics.close()
            if self._commits.error is not None:
                raise self._commits.error


def _store(config: KafkaSourceConfig, consumer: Consumer) -> OffsetStore:
    if not config.state:
        return consumer
    from transforms.kafka.offset_file import OffsetFile

    return OffsetFile(config.state, config.consumer.group_id, config.consumer.request_timeout_s)
