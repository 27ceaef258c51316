"""`ReadFromKafka`: a source of whole Kafka records, without end or of given offsets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import Coder
from apache_beam.transforms.core import RestrictionProvider

from transforms import registry
from transforms.kafka.frontier import Frontier, FrontierCoder, FrontierTracker
from transforms.kafka.remaining import Remaining
from transforms.kafka.selection import Shard
from transforms.kafka.session import KafkaSession, KafkaSourceConfig
from transforms.reading import Bundle, in_shards, read_bundle
from transforms.record_batches import HandOn, Poll
from transforms.records import KafkaRecord
from transforms.watermark import WallTime


class ReadFromKafka(beam.PTransform):
    """Reads Kafka records, keys, headers and timestamps included; finite where `ranges` are given.

    Parallelism: `shards` readers; each polls one consumer for all its partitions. Partitions are
      shared by the group protocol (with other processes too) or by shard number; new partitions
      and matching topics join within `metadata_interval_ms`.
    Guarantee: at least once. Offsets are committed after the bundle that read them is final, that
      is, after the sinks fused behind this source have confirmed it. Nothing may shuffle between.
    On restart: continues from the runner's checkpoint where there is one, else from the group's
      committed offsets, else from `start`.
    """

    def __init__(self, config: KafkaSourceConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, pbegin: Any) -> Any:
        count = self._config.shards
        poll = _PollFn if self._config.ranges is None else _PollFiniteFn
        return (
            pbegin
            | "Impulse" >> beam.Impulse()
            | "Shards" >> beam.FlatMap(_shards, count).with_output_types(Shard)
            | in_shards("Poll", count) >> beam.ParDo(poll(self._config)).with_output_types(Poll)
            | "Each" >> beam.ParDo(HandOn(KafkaRecord))
        )

    def display_data(self) -> dict[str, Any]:
        return {
            "topics": ",".join(self._config.topics),
            "group_id": self._config.consumer.group_id,
            "shards": self._config.shards,
            "client": self._config.kafka.client,
        }


class ShardCoder(Coder):
    """JSON with a version, as of the frontier: {"v": 1, "number": 3, "of": 8}"""

    def encode(self, value: Shard) -> bytes:
        return json.dumps({"v": 1, **value._asdict()}, separators=(",", ":")).encode()

    def decode(self, encoded: bytes) -> Shard:
        state = json.loads(encoded)
        if state.pop("v") != 1:
            raise ValueError(
                f"decode shard: {encoded[:40]!r}, this release reads version 1; resume with the "
                "release that wrote the checkpoint"
            )
        return Shard(**state)

    def is_deterministic(self) -> bool:
        return True


beam.coders.registry.register_coder(Shard, ShardCoder)


def _shards(_impulse: bytes, count: int) -> list[Shard]:
    return [Shard(number, count) for number in range(count)]


_WALL_TIME = WallTime()


class _PollFn(beam.DoFn, RestrictionProvider):
    def __init__(self, config: KafkaSourceConfig) -> None:
        self._config = config

    def start_bundle(self) -> None:
        self._before: Bundle | None = None

    def initial_restriction(self, element: Shard) -> Frontier:
        return Frontier()

    def create_tracker(self, restriction: Frontier) -> FrontierTracker:
        return FrontierTracker(restriction, finite=self._config.ranges is not None)

    def restriction_coder(self) -> FrontierCoder:
        return FrontierCoder()

    def restriction_size(self, element: Shard, restriction: Frontier) -> float:
        """What is left, by which runners add workers: of a finite source in offsets, else in bytes,
        as far as this process knows; 1 where it does not."""
        if restriction.ended:
            return 0.0
        if self._config.ranges is not None:
            positions = restriction.positions
            mine = {p: found for p, found in self._config.ranges.items() if element.owns(p)}
            return float(Remaining(mine).count(positions, mine))
        session = registry.get(self._config.bridge).opened(("kafka", element))
        backlog_bytes = session.backlog_bytes() if session is not None else None
        return 1.0 if backlog_bytes is None else backlog_bytes

    def truncate(self, element: Shard, restriction: Frontier) -> None:
        """A draining runner reads nothing beyond what is claimed."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        shard: Shard,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(),  # noqa: B008
        _watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WALL_TIME),  # noqa: B008
    ) -> Iterator[Poll]:
        return self._read(shard, finalizer, tracker)

    def _read(self, shard: Shard, finalizer: Any, tracker: Any) -> Iterator[Poll]:
        bridge = registry.get(self._config.bridge)
        with bridge.failing():
            session = bridge.session(
                ("kafka", shard), lambda: KafkaSession(self._config, shard, bridge)
            )
            bundle = session.begin(tracker.current_restriction())
        bundle.before, self._before = self._before, bundle
        finalizer.register(bundle.finalize)
        return read_bundle(bridge, session, bundle, tracker)


class _PollFiniteFn(_PollFn):
    """Beam takes a source for finite unless it is declared otherwise."""

    def process(
        self,
        shard: Shard,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(),  # noqa: B008
        _watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WALL_TIME),  # noqa: B008
    ) -> Iterator[Poll]:
        return self._read(shard, finalizer, tracker)
