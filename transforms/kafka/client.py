"""The plug points of the Kafka clients: what a source, a sink and preflight need of one.

The packages `librdkafka` and `kafka_python` implement them, `clients.py` opens them; one contract
suite (`tests/contract`) runs on both. Nothing outside those two packages imports a Kafka library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from transforms.errors import TransferError
from transforms.kafka.property_table import Role
from transforms.limits import KAFKA_DEFAULT_MAX_MESSAGE_BYTES
from transforms.records import KafkaRecord

Partition = tuple[str, int]
"""(topic, partition number)"""

Offsets = Mapping[Partition, int]
"""The next offset to read, per partition."""

ClientName = Literal["librdkafka", "kafka-python"]


@dataclass(frozen=True)
class KafkaConfig:
    """How to reach a cluster, with which client; small and picklable, it travels to workers.

    Attributes:
      bootstrap_servers: `HOST:PORT[,HOST:PORT...]`.
      client: the library that carries the data.
      properties: further client properties by their standard (Java) names, validated by
        `transforms.kafka.config`; secrets by reference.
      role: in which the data are moved; administration is done as the same user.
    """

    bootstrap_servers: str
    client: ClientName = "librdkafka"
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    role: Role = "consumer"


@dataclass(frozen=True)
class ConsumerConfig:
    """What a consumer needs beyond the cluster. Times end in their unit.

    Attributes:
      group_id: the group whose offsets are read and committed; empty for a consumer that is only
        assigned partitions, and needs no right to a group.
      instance_id: static membership (`group.instance.id`), or None.
      max_poll_interval_ms: longest time between two polls before the group evicts the member.
      metadata_interval_ms: how often new partitions and matching topics are looked for.
      fetch_bytes: upper bound of what the client prefetches, in bytes, all partitions together.
      request_timeout_s: deadline of one blocking call (committed, commit, watermarks).
    """

    group_id: str
    instance_id: str | None = None
    max_poll_interval_ms: int = 365_000
    metadata_interval_ms: int = 30_000
    fetch_bytes: int = 50_000_000
    request_timeout_s: float = 10.0


@dataclass(frozen=True)
class ProducerConfig:
    """What a producer needs beyond the cluster.

    Attributes:
      linger_ms: how long a batch may wait for more records.
      delivery_timeout_s: after this an unconfirmed record is a failure.
      buffer_bytes: upper bound of what is buffered; `produce` blocks above it.
      max_message_bytes: largest record batch that the destination topic admits.
      metadata_interval_ms: how often new partitions are looked for.
      compression: of record batches; a topic's limit is about what is compressed, so that with gzip
        `max_message_bytes` may be above it.
    """

    linger_ms: float = 5.0
    delivery_timeout_s: float = 300.0
    buffer_bytes: int = 50_000_000
    max_message_bytes: int = KAFKA_DEFAULT_MAX_MESSAGE_BYTES
    metadata_interval_ms: int = 30_000
    compression: Literal["none", "gzip"] = "none"


class Committed(NamedTuple):
    """What a group has committed of one partition.

    Attributes:
      offset: the next offset to read.
      metadata: the text that was committed with it.
    """

    offset: int
    metadata: str = ""


def offsets_of(committed: Mapping[Partition, Committed]) -> dict[Partition, int]:
    """The offsets of what a group has committed, without the texts."""
    return {part: found.offset for part, found in committed.items()}


class OffsetStore(Protocol):
    """Where a source remembers how far it is: its group, which every `Consumer` is, or a file."""

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """What is remembered; partitions without an offset are left out.

        Raises:
          UnavailableError, SourceError: as `Consumer.poll`.
        """

    def commit(self, offsets: Offsets, metadata: Mapping[Partition, str] = {}) -> None:
        """Remembers synchronously; a text with each offset that has one.

        Raises:
          CommitError: with the reason.
        """


class RebalanceListener(Protocol):
    """Told about ownership by the polling thread, inside `Consumer.poll` only."""

    def on_assigned(self, partitions: Sequence[Partition]) -> Offsets:
        """Partitions are now owned; returns where to begin, one offset for each of them."""

    def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions are about to go; still a member of the group, so commits are accepted."""

    def on_lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions are gone already; commits would be refused or would rewind their new owner."""


class Consumer(OffsetStore, Protocol):
    """Reads records; never commits by itself, never resets an offset by itself. Commits as the
    member of the group that it is; a CommitError has the broker's reason (fenced, unknown member).

    `poll`, `subscribe`, `assign` and `seek` belong to one thread at a time. `commit` may be called
    from another thread while a poll is under way, and waits no longer than a poll slice (100 ms)
    for it.
    """

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Joins the group for a list of topics, or for one `^regex`; assignor: roundrobin (eager).

        A regex matches from the beginning of the name, as `re.match`, with either client. May be
        called again, with another list or another regex, which is then the subscription.
        """

    def assign(self, positions: Offsets) -> None:
        """Owns exactly these partitions, without the group protocol, beginning at these offsets.

        Partitions that were assigned before and stay keep their position: their offset is ignored.
        """

    def poll(self, timeout_s: float, max_records: int) -> list[KafkaRecord]:
        """Returns what is there, at most `max_records`, in order per partition; waits up to the
        timeout only while nothing is there. A poll that raises has taken nothing.

        A header's name that is not UTF-8 is decoded with `surrogateescape`, and stops nothing:
        `name.encode("utf-8", "surrogateescape")` gives its bytes. With librdkafka a name ends at
        its first zero byte.

        Raises:
          OffsetGapError: the next offset of a partition no longer exists; names the range. So does
            every further poll, until the partition is sought or released.
          UnavailableError: the brokers cannot answer now; where the client gets over that by
            itself, a poll is empty.
          SourceError: a fatal client error, or a record that the client cannot read; names topic,
            partition and offset.
        """

    def seek(self, positions: Offsets) -> None:
        """Sets the next offset of assigned partitions; what was prefetched for them is dropped."""

    def positions(self) -> dict[Partition, int]:
        """The offset behind what `poll` has returned of every assigned partition, in a listener's
        call, too; without asking a broker.

        Passes over offsets that hold no record (transaction markers, compacted ones), which no
        record would show: a range that ends with such is read when its position is there.
        """

    def watermarks(
        self, partitions: Iterable[Partition], timeout_s: float | None = None
    ) -> dict[Partition, tuple[int, int]]:
        """(first offset, next offset to be written), asked of the broker, within the time given, or
        else `request_timeout_s`.

        Raises:
          UnavailableError, SourceError: as `poll`.
        """

    def lags(self) -> dict[Partition, int] | None:
        """Records not read yet of each assigned partition, as the last poll knew it; None if
        unknown.

        Never blocks; may be called from any thread.
        """

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of a list of topics, or of those that match one `^regex`; fresh metadata.

        Topics that do not exist are left out, and are not created.

        Raises:
          UnavailableError, SourceError: as `poll`.
        """

    def close(self) -> None:
        """Leaves the group (unless a static member) and closes; idempotent; at most 10 s."""


class Failure(NamedTuple):
    """A record that was not written. `error` is a RefusedError where trying again cannot help."""

    record: KafkaRecord
    error: TransferError


class Producer(Protocol):
    """Writes records with acks=all, never out of order, and idempotently; keys
    are placed by `murmur2_random`, as Java's client does (records without a key go to sticky random
    partitions). A record that was refused takes no other one of its batch with it.

    One thread produces; `flush` may be called from another.
    """

    def produce(self, records: Sequence[KafkaRecord]) -> None:
        """Hands records over in their order, each to its topic and, unless None, its partition;
        key, value, headers and `timestamp_ms` (unless None) are written as they are. Blocks while
        the buffer is full.

        What the client refuses at once is collected like any other failure, not raised; so is a
        header's name that has surrogates (see `Consumer.poll`), which neither client can write.

        Raises:
          DeliveryError: the buffer stayed full for `delivery_timeout_s`.
        """

    def in_flight(self) -> int:
        """Records handed over and not yet confirmed or failed."""

    @property
    def confirmed(self) -> int | None:
        """Grows with what is not in flight any more, for who watches whether it does; None while
        nothing is. Any thread may ask, while another one produces."""

    def flush(self, timeout_s: float) -> list[Failure]:
        """Waits until nothing is in flight; returns (and forgets) all failures since the last call.

        Raises:
          DeliveryError: records are still in flight after the timeout.
        """

    def close(self) -> None:
        """Closes without waiting for what is in flight; idempotent; at most 10 s."""


class TopicInfo(NamedTuple):
    """A topic as preflight sees it.

    Attributes:
      max_message_bytes: the largest record batch that it admits.
      needs_keys: it is compacted, and refuses records without a key.
      max_timestamp_ahead_ms: a record whose timestamp is further ahead of the broker's clock is
        refused; None where nothing is, since the broker sets the timestamps.
      described: its settings are known; they are not where this user may not read them.
      operations: what this user may do with it, such as READ; None where the brokers do not say.
    """

    name: str
    partitions: int
    max_message_bytes: int
    needs_keys: bool = False
    max_timestamp_ahead_ms: int | None = None
    described: bool = True
    operations: frozenset[str] | None = None

    def allows(self, operation: Literal["READ", "WRITE"]) -> bool:
        """Whether this user may do so with it, as far as the brokers say."""
        return self.operations is None or bool(self.operations & {operation, "ALL"})

    def refusal(self, record: KafkaRecord, now_ms: float) -> str:
        """Why the topic refuses a record, and with it its batch; empty if it does not.

        Args:
          now_ms: milliseconds since the epoch; the broker's clock is the judge.
        """
        if self.needs_keys and record.key is None:
            return "it has no key, and the topic is compacted"
        ahead_ms = self.max_timestamp_ahead_ms
        if ahead_ms is not None and (record.timestamp_ms or 0) - now_ms > ahead_ms:
            return (
                f"its timestamp is more than {ahead_ms / 1000:,.0f} s ahead, the topic's "
                "message.timestamp.after.max.ms"
            )
        return ""


class Admin(Protocol):
    """Metadata and administration; each call has a deadline of its own (`timeout_s`).

    Methods raise PreflightError with a line that names the cluster or topic and what to do.
    """

    def cluster_id(self) -> str:
        """The cluster's own name for itself, the same on every broker."""

    def topics(self, topics: Sequence[str]) -> dict[str, TopicInfo]:
        """The existing ones of a list of topics, or all that match one `^regex`.

        Raises:
          HiddenTopicError: this user may not know of a topic of the list, too.
        """

    def topic_ids(self, names: Sequence[str]) -> dict[str, str]:
        """The cluster's own ids of those topics that exist: a topic that is deleted and made again
        has another one. Empty where the brokers know none (before 2.8)."""

    def create_topic(self, name: str, partitions: int, replication: int) -> None:
        """Creates a topic, and waits until every partition has a leader."""

    def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of the existing ones of a list of topics, or of one `^regex`."""

    def beginning_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that still exists."""

    def end_offsets(
        self, partitions: Iterable[Partition], open_transactions: bool = False
    ) -> dict[Partition, int]:
        """The offset that the next record will get; or, at `read_committed`, where the first open
        transaction begins, unless those are wanted, too."""

    def offsets_for_time(
        self, partitions: Iterable[Partition], timestamp_ms: int
    ) -> dict[Partition, int]:
        """The first offset at or after a time; a partition without one is at its end offset, taken
        before the look-up, so that nothing that arrives meanwhile is passed over."""

    def committed(self, group_id: str) -> dict[Partition, Committed]:
        """All that the group has committed."""

    def commit(
        self, group_id: str, offsets: Offsets, metadata: Mapping[Partition, str] = {}
    ) -> None:
        """Sets offsets of a group without members, each with a text that is kept beside it."""

    def may_join(self, group_id: str) -> bool:
        """Whether this user may join a group and commit for it; the group does not notice."""

    def group_assignor(self, group_id: str) -> str:
        """By which assignor the group's present members share it; empty if there are none."""

    def group_members(self, group_id: str) -> list[str]:
        """Client ids and hosts of the group's present members; empty for an unknown group."""

    def close(self) -> None:
        """Closes the connections; idempotent."""
