"""What a Kafka source reads: the selection of topics, cut into shards."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from transforms.kafka.client import ConsumerConfig, KafkaConfig, Offsets, Partition
from transforms.ranges import Ranges
from transforms.registry import BridgeConfig


class Shard(NamedTuple):
    """Shard `number` (from 0) `of` so many: the element that the source reads."""

    number: int
    of: int

    def owns(self, partition: Partition) -> bool:
        """Whether a partition belongs to this shard; neighbours go to different shards."""
        topic, index = partition
        return (zlib.crc32(topic.encode()) + index) % self.of == self.number


@dataclass(frozen=True)
class KafkaSourceConfig:
    """What a Kafka source reads, and how; picklable.

    Attributes:
      topics: names, or one `^regex`.
      start: resolved `--start`: where partitions without a committed offset begin; those not in it
        begin at their first offset.
      assignment: who owns a partition: the consumer group protocol, or the shard's number.
      on_offset_gap: what follows when offsets are gone that should be read next: an error, or a
        continuation that is counted.
      ranges: the offsets that are read, which makes the source finite; None for all there will be.
      state: URL of the file that remembers how far it is, in place of the group's commits.
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
