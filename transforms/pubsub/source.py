"""`ReadFromPubSub`: an unbounded source of whole Pub/Sub messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.io.gcp.pubsub import ReadFromPubSub as NativeReadFromPubSub
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider

from transforms import registry
from transforms.pubsub.session import PubsubSession, PubsubSourceConfig
from transforms.reading import each, read_bundle
from transforms.records import PubsubRecord


class ReadFromPubSub(beam.PTransform):
    """Reads Pub/Sub messages of one subscription, attributes and ordering keys included.

    Args:
      native: True takes Beam's own source, which Dataflow replaces by its service's; it acks when
        the runner has made the message durable. False pulls in this process.

    Parallelism: native: the runner's. Else `shards` readers; several processes share a
      subscription.
    Guarantee: at least once. Messages are acked after the bundle that read them is final, that is,
      after the sinks fused behind this source have confirmed it. Nothing may shuffle between.
    On restart: the service delivers again what was not acked.
    """

    def __init__(self, config: PubsubSourceConfig, native: bool = False) -> None:
        super().__init__()
        self._config = config
        self._native = native

    def expand(self, pbegin: Any) -> Any:
        if self._native:
            return (
                pbegin
                | "Read"
                >> NativeReadFromPubSub(
                    subscription=self._config.subscription, with_attributes=True
                )
                | "ToRecord" >> beam.Map(_from_native).with_output_types(PubsubRecord)
            )
        return (
            pbegin
            | "Impulse" >> beam.Impulse()
            | "Shards" >> beam.FlatMap(_shards, self._config.shards)
            | "Pull" >> beam.ParDo(_PullFn(self._config))
            | "Each" >> beam.FlatMap(each).with_output_types(PubsubRecord)
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


class _OpenTracker(RestrictionTracker):
    """The restriction of a subscription: True while it is to be read, False afterwards."""

    def __init__(self, is_open: bool) -> None:
        self._open = is_open

    def current_restriction(self) -> bool:
        return self._open

    def try_claim(self, position: object) -> bool:
        """Asks whether reading may go on; None ends it."""
        may_go_on = self._open
        self._open = self._open and position is not None
        return may_go_on

    def try_split(self, fraction_of_remainder: float) -> tuple[bool, bool] | None:
        """Only a checkpoint (fraction 0) is possible."""
        if fraction_of_remainder != 0 or not self._open:
            return None
        self._open = False
        return False, True

    def check_done(self) -> bool:
        if self._open:
            raise ValueError("Pub/Sub source: returned while its subscription was open")
        return True

    def is_bounded(self) -> bool:
        return False

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(completed=1.0, remaining=1.0 if self._open else 0.0)


class _OpenProvider(RestrictionProvider):
    def initial_restriction(self, element: int) -> bool:
        return True

    def create_tracker(self, restriction: bool) -> _OpenTracker:
        return _OpenTracker(restriction)

    def restriction_size(self, element: int, restriction: bool) -> float:
        return 1.0

    def truncate(self, element: int, restriction: bool) -> None:
        """A draining runner pulls nothing more."""


_WALL_TIME = WalltimeWatermarkEstimator.default_provider()


class _PullFn(beam.DoFn):
    def __init__(self, config: PubsubSourceConfig) -> None:
        self._config = config

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        shard: int,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(_OpenProvider()),  # noqa: B008
        _watermark: Any = beam.DoFn.WatermarkEstimatorParam(_WALL_TIME),  # noqa: B008
    ) -> Iterator[Sequence[PubsubRecord]]:
        bridge = registry.get(self._config.bridge)
        with bridge.failing():
            session = bridge.session(
                ("pubsub", self._config.subscription, shard),
                lambda: PubsubSession(self._config, bridge),
            )
        bundle = session.begin()
        finalizer.register(bundle.finalize)
        return read_bundle(bridge, session, bundle, tracker)
