"""What a run starts from, as the checks find it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pipelines.wanted import NOTHING, Wanted
from transforms.kafka.client import Offsets, Partition, TopicInfo
from transforms.limits import KAFKA_DEFAULT_MAX_MESSAGE_BYTES
from transforms.ranges import Ranges

Found = dict[str, Any]
"""Fields of `Facts`, as one check has found them."""

_UNKNOWN_TOPIC = TopicInfo("", 0, KAFKA_DEFAULT_MAX_MESSAGE_BYTES)


@dataclass(frozen=True)
class Facts:
    """What a run starts from; each side fills in what it has found.

    Attributes:
      now_ms: when the checks began, milliseconds since the epoch.
      cluster_id: the Kafka cluster's own name for itself.
      topics: the topics that are read now, as a backfill's night has them.
      partitions: those that are read now.
      group_id: the group whose offsets are read and committed.
      start: where those without a committed offset begin; the rest begin at their first offset.
      ranges: the offsets that are read, of a finite run; None for all there will be.
      committed: the next offset of each partition of a finite run, as far as it got before.
      unfinished: how many offsets of each lie behind an open transaction, where there are some.
      largest: of the topics that are read the one with the largest messages, if there is one.
      subscription: that is read.
      pubsub_topic: `projects/P/topics/T` of that subscription.
      ack_deadline_s: of that subscription.
      ordered: whether that subscription keeps the order of each ordering key.
      backoff_s: so long it may keep back what was delivered before and not acknowledged.
      kept_since_ms: from when on the topic keeps messages; 0 where that does not matter.
      status: how far a backfill from Pub/Sub got before, see `pipelines.backfill_state`.
      marked: where the Kafka destination stood when a run from Pub/Sub began to write.
      delivered: what a killed run of the same backfill has delivered, and is left out.
      state: the file that remembers how far the reading of an archive is.
      archived_left: records of it that are not read yet, where its files tell.
      archived_files: how many of its files may have something, and in `files_digest` which.
      archived_ends: what is in them: Kafka's records, messages of Pub/Sub, or both.
      wanted: what a backfill is about, and in `name` what it is known by.
      topic: the Kafka topic that is written.
      new_topic: it does not exist yet.
    """

    now_ms: int = 0
    cluster_id: str = ""
    topics: tuple[str, ...] = ()
    partitions: tuple[Partition, ...] = ()
    group_id: str = ""
    start: Offsets = field(default_factory=dict)
    ranges: Mapping[Partition, Ranges] | None = None
    committed: Offsets = field(default_factory=dict)
    unfinished: Offsets = field(default_factory=dict)
    largest: TopicInfo | None = None
    subscription: str = ""
    pubsub_topic: str = ""
    ack_deadline_s: int = 10
    ordered: bool = False
    backoff_s: int = 0
    kept_since_ms: int = 0
    status: str = ""
    marked: Offsets = field(default_factory=dict)
    delivered: Container[Any] | None = None
    state: str = ""
    archived_left: int | None = None
    archived_files: int = 0
    files_digest: str = ""
    archived_ends: frozenset[str] = frozenset()
    wanted: Wanted = NOTHING
    name: str = ""
    topic: TopicInfo = _UNKNOWN_TOPIC
    new_topic: bool = False

    def with_(self, found: Found) -> Facts:
        """These facts with more of them."""
        return replace(self, **found)

    @property
    def left(self) -> Mapping[Partition, Ranges]:
        """What a finite run has not read yet."""
        return {
            part: ranges.beyond(self.committed.get(part, 0) - 1)
            for part, ranges in (self.ranges or {}).items()
        }


class Look(NamedTuple):
    """What is known before anything is looked at.

    Attributes:
      now_ms: milliseconds since the epoch.
      wanted: what a backfill is about, and in `name` what it is known by.
    """

    now_ms: int
    wanted: Wanted = NOTHING
    name: str = ""
