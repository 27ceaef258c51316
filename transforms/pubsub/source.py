"""`ReadFromPubSub`: a source of whole Pub/Sub messages, finite where publish times are given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.io.gcp.pubsub import ReadFromPubSub as NativeReadFromPubSub
from apache_beam.transforms.core import RestrictionProvider

from transforms import registry
from transforms.pubsub.session import PubsubSession, PubsubSourceConfig
from transforms.pubsub.taken import Taken, TakenCoder, TakenTracker
from transforms.reading import Bundle, in_shards, read_bundle
from transforms.record_batches import HandOn, Poll
from transforms.records import PubsubRecord
from transforms.watermark import WallTime


class ReadFromPubSub(beam.PTransform):
    """Reads Pub/Sub messages of one subscription, attributes and ordering keys included; finite
    where the config gives publish times.

    Args:
      native: True takes Beam's own source, which Dataflow replaces by its service's; it acks when
        the runner has made the message durable. False pulls in this process.
      id_label: natively, the attribute by which the runner knows a message; empty: its id.

    Parallelism: native: the runner's. Else `shards` readers; several processes share a
      subscription.
    Guarantee: at least once. Messages are acked after the bundle that read them is final, that is,
      after the sinks fused behind this source have confirmed it. Nothing may shuffle between.
    On restart: the service delivers again what was not acked.
    """

    def __init__(
        self, config: PubsubSourceConfig, native: bool = False, id_label: str = ""
    ) -> None:
        super().__init__()
        self._config = config
        self._native = native
        self._id_label = id_label

    def expand(self, pbegin: Any) -> Any:
        if self._native:
            return (
                pbegin
                | "Read"
                >> NativeReadFromPubSub(
                    subscription=self._config.subscription,
                    id_label=self._id_label or None,
                    with_attributes=True,
                )
                | "ToRecord" >> beam.Map(_from_native).with_output_types(PubsubRecord)
            )
        count = self._config.shards
        pull = _PullFn if self._config.publish_times is None else _PullFiniteFn
        return (
            pbegin
            | "Impulse" >> beam.Impulse()
            | "Shards" >> beam.FlatMap(_shards, count).with_output_types(int)
            | in_shards("Pull", count) >> beam.ParDo(pull(self._config)).with_output_types(Poll)
            | "Each" >> beam.ParDo(HandOn(PubsubRecord))
        )

    def display_data(self) -> dict[str, Any]:
        return {"subscription": self._config.subscription, "native": self._native}


def _shards(_impulse: bytes, count: int) -> range:
    return range(count)


def _from_native(message: PubsubMessage) -> PubsubRecord:
    published = message.publish_time
    return PubsubRecord(
        message.data,
        message.attributes or {},
        message.ordering_key or "",
        message.message_id or "",
        None if published is None else int(published.timestamp() * 1000),
    )


class _TakenProvider(RestrictionProvider):
    def __init__(self, finite: bool = False) -> None:
        self._finite = finite

    def initial_restriction(self, element: int) -> Taken:
        return Taken()

    def create_tracker(self, restriction: Taken) -> TakenTracker:
        return TakenTracker(restriction, self._finite)

    def restriction_size(self, element: int, restriction: Taken) -> float:
        return 1.0

    def restriction_coder(self) -> TakenCoder:
        return TakenCoder()

    def truncate(self, element: int, restriction: Taken) -> None:
        """A draining runner pulls nothing more."""


_WALL_TIME = WallTime()


class _PullFn(beam.DoFn):
    def __init__(self, config: PubsubSourceConfig) -> None:
        self._config = config

    def start_bundle(self) -> None:
        self._before: Bundle | None = None

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        shard: int,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(_TakenProvider()),  # noqa: B008
        _watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WALL_TIME),  # noqa: B008
    ) -> Iterator[Poll]:
        return self._read(shard, finalizer, tracker)

    def _read(self, shard: int, finalizer: Any, tracker: Any) -> Iterator[Poll]:
        bridge = registry.get(self._config.bridge)
        with bridge.failing():
            session = bridge.session(
                ("pubsub", self._config.subscription, shard),
                lambda: PubsubSession(self._config, bridge),
            )
        bundle = session.begin(tracker.current_restriction().messages)
        bundle.before, self._before = self._before, bundle
        finalizer.register(bundle.finalize)
        return read_bundle(bridge, session, bundle, tracker)


class _PullFiniteFn(_PullFn):
    """Beam takes a source for finite unless it is declared otherwise."""

    def process(
        self,
        shard: int,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(_TakenProvider(finite=True)),  # noqa: B008
        _watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WALL_TIME),  # noqa: B008
    ) -> Iterator[Poll]:
        return self._read(shard, finalizer, tracker)
